"""The engine on a second kernel: Linux 6.1 with cgroup v2 alone. What runs there is in the files of CASES."""

import re

import pytest

import needs
from vm.machine import run_tests
from vm.made import Absent

CASES = [
    "tests/vm/cgroup2_cases.py",
    "tests/vm/older_kernel_cases.py",
    "tests/vm/user_namespace_cases.py",
    "tests/integration/test_network_drivers.py",  # ipvlan, VLANs and dummy links, which not every kernel has
]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def test_containers_on_version_2_and_linux_6_1() -> None:
    needs.root()
    try:
        status, said = run_tests(CASES, timeout=900)
    except Absent as reason:
        needs.missing(str(reason))
    assert status == 0, said
    assert re.search(r"^=+ \d+ passed[^,]* in ", said, re.MULTILINE), f"something was skipped or failed:\n{said}"
