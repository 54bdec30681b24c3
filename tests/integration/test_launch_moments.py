"""Of a launch, what a start in a hundred thousand meets: the launcher's own file, and the moment made by a test."""

import subprocess
from pathlib import Path

import needs
from supervised import REPOSITORY, STRICT

FILES = ("clone", "child", "receive", "ops_stdio")  # of the launcher; what they do not use here is left out
ALONE = ("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")


def test_a_go_that_comes_too_late_takes_no_terminal_with_it(tmp_path: Path) -> None:
    program = str(tmp_path / "late_go")
    sources = [f"{REPOSITORY}/launcher/{name}.c" for name in FILES] + [f"{REPOSITORY}/tests/launcher/late_go.c"]
    command = [needs.program("gcc"), *STRICT, *ALONE, "-Wl,--wrap=poll", "-o", program, *sources]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout
