"""The launcher's decoder under ASan and UBSan: good plans are taken, every cut is refused, mutations never harm."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from planned import CASES

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
    seed.write_bytes(CASES[name]().encode())
    result = subprocess.run([fuzzer, str(ROUNDS), seed], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout.split()[0]) > ROUNDS // 2


def test_generated_header_is_current() -> None:
    tool = REPOSITORY / "tools/protocol_header.py"
    assert subprocess.run([sys.executable, tool, "--check"], check=False).returncode == 0
