"""The second boot of test_systemd.py: nobody has asked the engine for anything yet."""

import time
from typing import Any

from vm import lasting
from vm.systemd_cases import UNITS, main_pid, shown


def test_the_boot_started_it() -> None:
    assert [shown(unit, "ActiveState") for unit in UNITS] == ["active", "active"] and main_pid() != 0


def test_policies_were_applied_before_anybody_asked() -> None:
    started = time.time()
    lasting.wait_until(lambda: lasting.state("counts")["Running"], "it is back")
    assert started - _unix(lasting.state("counts")["StartedAt"]) > -5
    state = lasting.state("plain")
    assert (state["Status"], state["ExitCode"]) == ("exited", 255) and "host went down" in state["Error"]


def test_their_ends_are_told_though_the_engine_had_ended_well() -> None:
    found = lasting.events_after(lasting.notes()["last_event"])
    told = [(event["Action"], event["Actor"]["Attributes"].get("name")) for event in found]
    for name in ("counts", "plain"):
        assert told.count(("die", name)) == 1, told
    assert told.index(("die", "counts")) < told.index(("start", "counts"))


def _unix(text: str) -> float:
    import datetime

    moment: Any = datetime.datetime.fromisoformat(f"{text[:19]}+00:00")
    return float(moment.timestamp())
