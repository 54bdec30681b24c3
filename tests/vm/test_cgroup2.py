"""The engine on a second kernel: Linux 6.1 with cgroup v2 alone. What runs there is in the files of CASES."""

import re

import pytest

import needs
from vm import machine

CASES = ["tests/vm/cgroup2_cases.py", "tests/vm/older_kernel_cases.py"]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def test_containers_on_version_2_and_linux_6_1() -> None:
    needs.root()
    if lacking := machine.missing_programs():
        needs.missing(f"needs the programs {', '.join(lacking)}")
    status, said = machine.run_tests(CASES, timeout=900)
    assert status == 0, said
    assert re.search(r"^=+ \d+ passed[^,]* in ", said, re.MULTILINE), f"something was skipped or failed:\n{said}"
