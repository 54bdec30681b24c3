"""A host that goes down and comes up again: one disk, two boots."""

from pathlib import Path

import pytest

import needs
from vm.machine import Machine
from vm.made import Absent

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
BOOTS = ("tests/vm/reboot_before_cases.py", "tests/vm/reboot_after_cases.py")


def test_what_ran_before_a_reboot(tmp_path: Path) -> None:
    needs.root()
    try:
        machine = Machine(str(tmp_path / "disk"))
    except Absent as reason:
        needs.missing(str(reason))
    for case in BOOTS:
        status, said = machine.run([case], timeout=600)
        assert status == 0 and " skipped" not in said, said
