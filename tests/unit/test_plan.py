"""Plans of a dozen specs against their golden texts; `WARDIAN_GOLDEN=write pytest …/test_plan.py` writes them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import planned
from planned import CASES, HOST, make, with_process
from wardian.errors import NOT_IMPLEMENTED, WardianError
from wardian.runtime import Plan, ops, protocol
from wardian.runtime.plan_cgroups import group_path, plan_enter

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", CASES)
def test_plan_is_its_golden_text(name: str) -> None:
    made = CASES[name]()
    phases = ("host", "parent", "child")
    lines = [f"{phases[step.phase]:6} {step.describe()}" for step in made.ops]
    text = "\n".join([*(f"warning: {warning}" for warning in made.warnings), *lines, ""])
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("WARDIAN_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_plan_survives_json_and_encodes_the_same(name: str) -> None:
    made = CASES[name]()
    again = Plan.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert again.encode() == made.encode()


def test_every_operation_has_its_class_with_the_same_fields() -> None:
    assert {name: kind._fields for name, kind in ops.CLASSES.items()} == {
        row.name: protocol.field_names(row) for row in protocol.OPERATIONS
    }


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (planned.spec(sysctl={"kernel.panic": "1"}), "kernel.panic"),
        (planned.spec(namespaces=planned.namespaces("pid")), "mount namespace"),
        (planned.spec(namespaces=planned.namespaces("mount", "time")), "time"),
        (planned.spec() | {"hooks": {"prestart": [{"path": "/x"}]}}, "hooks"),
        (with_process(args=[]), "arguments"),
        (with_process(capabilities={"bounding": ["CAP_X"]}), "CAP_X"),
        (planned.spec(namespaces=planned.namespaces("mount", "user")), "uidMappings"),
    ],
)
def test_what_cannot_be_is_refused_by_name(spec: dict[str, Any], word: str) -> None:
    with pytest.raises(WardianError, match=word):
        make(spec)


@pytest.mark.parametrize(
    ("resources", "word"),
    [
        ({"unified": {"../memory.max": "1"}}, "no limit"),
        ({"unified": {"memory": "1"}}, "no limit"),
        ({"unified": {"cgroup.procs": "1"}}, "no limit"),
        ({"unified": {"rdma.max": "1"}}, "no rdma control group"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, "no hugetlb control group"),
        ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller"),
        ({"cpu": {"realtimeRuntime": 1000}}, "cpu.realtimeRuntime"),
    ],
)
def test_what_version_2_cannot_limit_is_refused_by_name(resources: dict[str, Any], word: str) -> None:
    with pytest.raises(WardianError, match=word):
        make(planned.spec(resources=resources), host=planned.V2_HOST)


def test_a_limit_needs_its_controller() -> None:
    bare = planned.V2_HOST._replace(cgroup2_controllers=("cpu", "pids"))
    with pytest.raises(WardianError, match="no memory control group"):
        make(planned.spec(resources={"memory": {"limit": 1 << 26}}), host=bare)


def test_files_of_version_2_are_written_and_their_controller_is_given() -> None:
    host = planned.V2_HOST._replace(cgroup2_controllers=("cpu", "hugetlb", "io", "memory", "pids"))
    resources = {"unified": {"memory.high": "4096", "hugetlb.2MB.max": "0", "cgroup.max.depth": "2"}}
    written = [step.op for step in make(planned.spec(resources=resources), host=host).ops]
    files = {step.file: step.data for step in written if isinstance(step, ops.CgroupWrite)}
    assert files["memory.high"] == b"4096" and files["hugetlb.2MB.max"] == b"0" and files["cgroup.max.depth"] == b"2"
    assert files["cgroup.subtree_control"] == b"+cpu +hugetlb +io +memory +pids"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/..", "a/./b", "/", "a//b", "a\nb", "system.slice:wardian:c1"])
def test_a_group_outside_the_hierarchy_is_refused(path: str) -> None:
    for placement in (planned.PLACEMENT._replace(cgroup=path), planned.PLACEMENT._replace(supervisor_cgroup=path)):
        for host in (planned.HOST, planned.V2_HOST):
            with pytest.raises(WardianError, match="cgroupsPath"):
                make(planned.spec(), host=host, placement=placement)
    with pytest.raises(WardianError, match="cgroupsPath"):
        plan_enter(planned.HOST, path, "")


def test_a_group_path_with_slashes_around_it_is_the_same() -> None:
    assert [group_path(path) for path in ("a/b", "/a/b/", "/a:b:c", "a/.b..")] == ["a/b", "a/b", "a:b:c", "a/.b.."]


def test_a_kept_plan_with_a_field_that_is_gone_is_read() -> None:
    made = planned.CASES["plain"]()
    data = made.to_json()
    data["ops"][-1]["fields"]["preserve"] = 0
    assert Plan.from_json(data) == made


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(WardianError):
        Plan.from_json({"version": 99, "ops": []})


def test_capabilities_that_the_host_lacks_are_left_out() -> None:
    wanted = {name: ["CAP_CHOWN", "CAP_SYS_RESOURCE"] for name in ("bounding", "effective", "permitted")}
    made = make(with_process(capabilities=wanted))
    assert [step.op for step in made.ops if isinstance(step.op, ops.Bounding)] == [ops.Bounding(1)]


def test_layers_are_idmapped_since_5_19() -> None:
    with pytest.raises(WardianError, match=r"since Linux 5\.19") as caught:
        planned.make(planned.made_before(), rootfs=planned.MAPPED, host=planned.OLD_HOST)
    assert caught.value.kind == NOT_IMPLEMENTED


def test_the_supervisor_leaves_what_its_engine_is_in_and_no_more() -> None:
    """In the root of a hierarchy there is nothing to leave; where that is not known, it leaves."""
    among = HOST._replace(in_root_of=frozenset({"cpu,cpuacct", "devices", "pids"}))
    made = [step.describe() for step in plan_enter(among, "", "wardian/supervisors").host]
    assert [line for line in made if "enter" in line] == [
        line for line in made if "enter" in line and ("cpuset" in line or "memory" in line)
    ]
    assert len(made) < len(plan_enter(HOST, "", "wardian/supervisors").host)
