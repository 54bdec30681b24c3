"""The units of `wardian system install`, started by a real systemd, which is the first process of the machine."""

from pathlib import Path

import pytest

import needs
from vm.machine import SYSTEMD, Machine
from vm.made import Absent

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]
BOOTS = ("tests/vm/systemd_cases.py", "tests/vm/systemd_booted_cases.py")


def test_the_engine_is_a_service(tmp_path: Path) -> None:
    needs.root()
    try:
        machine = Machine(str(tmp_path / "disk"), SYSTEMD)
    except Absent as reason:
        needs.missing(str(reason))
    for case in BOOTS:
        status, said = machine.run([case], timeout=900)
        assert status == 0 and " skipped" not in said, said
