"""The power goes while containers, volumes and images are written. What the callers were told of is there again.

qemu is killed: the machine's page cache is lost, what it had written to its disk is not.
"""

import random
import re
from pathlib import Path

import pytest

import needs
from vm.machine import Machine
from vm.made import Absent

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]
ANSWER = re.compile(r"^=== ((?:created|removed|renamed|volume|pulled) .*)\n", re.MULTILINE)
ENOUGH = 30  # answers, and some


def test_power_cut_amid_writes(tmp_path: Path) -> None:
    needs.root()
    try:
        machine = Machine(str(tmp_path / "disk"))
    except Absent as reason:
        needs.missing(str(reason))
    enough = ENOUGH + random.randrange(40)

    def cut(said: str) -> bool:
        found = ANSWER.findall(said)
        return len(found) >= enough and len({line.split()[0] for line in found}) == 5

    status, said = machine.run(["tests/vm/power_cut_before_cases.py"], timeout=900, power_cut=cut)
    assert status == -1, said
    answers = "\n".join(ANSWER.findall(said))
    status, after = machine.run(["tests/vm/power_cut_after_cases.py"], timeout=900, files={"answers": answers})
    assert status == 0 and " skipped" not in after, f"told before:\n{answers}\n{after}"
