"""An exec's plan that is cast in another's mould is the plan that would have been made for it."""

import pytest

import planned
from planned import HOST, ROOT
from wardian.runtime import ExecTarget, Mould, Plan, RootFacts, Supervision, plan_exec

TARGET = ExecTarget(4711, 99, "wardian/containers/c1", "wardian/supervisors")
FIRST = Supervision("e1", "/run/e1", listener="@listener")


def _planned(command: str, root: RootFacts, supervision: Supervision, host: planned.HostFacts = HOST) -> Plan:
    process = planned.process(args=[command, "-x"], env=["PATH=/bin", f"WHO={command}"])
    return plan_exec(process, host, root, TARGET, supervision)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", [HOST, planned.V2_HOST], ids=["hybrid", "v2"])
@pytest.mark.parametrize("home", ["/root", ""])
def test_it_is_the_plan_that_would_be_made(home: str, host: planned.HostFacts) -> None:
    mould = Mould(_planned("first", ROOT, FIRST, host))
    for number in range(2):
        root = ROOT._replace(command=f"/usr/bin/second{number}", home=home)
        supervision = FIRST._replace(container_id=f"e{number}", run_dir=f"/run/e{number}")
        process = planned.process(args=["second", "-x"], env=["PATH=/bin", "WHO=second"])
        cast = mould.cast(process, root, supervision)
        made = _planned("second", root, supervision, host)
        assert cast == made
        assert cast.encode() == made.encode()
        assert cast.encode(fail_step=3) == made.encode(fail_step=3)


def test_one_without_a_directory_has_none() -> None:
    probe = Supervision("e1", "")
    cast = Mould(_planned("first", ROOT, probe)).cast(
        planned.process(args=["first", "-x"], env=["PATH=/bin", "WHO=first"]),
        ROOT,
        probe,
    )
    assert cast.encode() == _planned("first", ROOT, probe).encode()
