"""The launcher's decoder under ASan and UBSan: good plans are taken, every cut is refused, mutations never harm."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import planned
from wardian.runtime import ops, protocol

REPOSITORY = Path(__file__).parent.parent.parent
ROUNDS = 3000


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler with sanitizers is needed"
    program = tmp_path_factory.mktemp("c") / "fuzz_decode"
    flags = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [REPOSITORY / "tests/unit/c/fuzz_decode.c", REPOSITORY / "launcher/decode.c"]
    subprocess.run([compiler, *flags, *sanitize, "-o", program, *sources], check=True)
    return program


@pytest.mark.parametrize("name", ["plain", "user-namespace", "exec", "nested-root"])
def test_no_mutation_of_a_plan_harms_the_decoder(fuzzer: Path, tmp_path: Path, name: str) -> None:
    seed = tmp_path / "plan"
    seed.write_bytes(planned.CASES[name]().encode())
    result = subprocess.run([fuzzer, str(ROUNDS), seed], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout.split()[0]) > ROUNDS // 2


def test_a_list_has_no_places_for_what_is_not_there(fuzzer: Path, tmp_path: Path) -> None:
    """The launcher takes a listed handle's descriptor without asking; elsewhere "no handle" is a value."""
    made = planned.CASES["plain"]()
    at = next(i for i, step in enumerate(made.ops) if isinstance(step.op, ops.Supervise))
    supervise = made.ops[at].op
    assert isinstance(supervise, ops.Supervise)

    def with_group(name: str) -> bytes:
        changed = made.ops[at]._replace(op=supervise._replace(cgroups=(name,)))
        return made._replace(ops=(*made.ops[:at], changed, *made.ops[at + 1 :])).encode()

    one, other = (with_group(name) for name in supervise.cgroups[:2])
    place = next(i for i in range(len(one)) if one[i] != other[i])
    seed = tmp_path / "plan"
    for number, taken in ((one[place : place + 4], True), (struct.pack("<I", protocol.NONE), False)):
        seed.write_bytes(one[:place] + number + one[place + 4 :])
        assert (subprocess.run([fuzzer, "0", seed], capture_output=True, check=False).returncode == 0) is taken


def test_generated_header_is_current() -> None:
    tool = REPOSITORY / "tools/protocol_header.py"
    assert subprocess.run([sys.executable, tool, "--check"], check=False).returncode == 0
