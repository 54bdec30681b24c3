"""The journal of events (bounded, whole after any end of its writer), and which events a filter takes."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wardian.engine.events.filters import matches_event
from wardian.engine.events.journal import Journal
from wardian.engine.events.lines import LONGEST, line_of


def line(identity: int) -> bytes:
    return msgspec.json.encode({"Action": f"a{identity}", "Wardian": {"ID": identity}}) + b"\n"


def opened(directory: Path, **limits: int) -> Journal:
    journal = Journal(str(directory), **limits)
    journal.open()
    return journal


def identities(journal: Journal) -> list[int]:
    return [event["Wardian"]["ID"] for segment in journal.segments() for event in segment.events()]


def test_ids_go_on_in_the_next_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    assert (journal.last, journal.oldest) == (0, 1)
    for identity in (1, 2, 3):
        journal.append(identity, line(identity))
    journal.close()
    again = opened(tmp_path)
    assert (again.last, again.oldest, identities(again)) == (3, 1, [1, 2, 3])
    assert again.newest is not None and again.newest["Action"] == "a3"
    again.append(9, line(9))
    assert identities(again) == [1, 2, 3, 9]
    again.close()


def test_it_is_bounded(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment=100, kept=3)
    for identity in range(1, 101):
        journal.append(identity, line(identity))
    assert len(os.listdir(tmp_path)) == 3
    assert identities(journal) == list(range(journal.oldest, 101))
    assert journal.oldest > 90
    journal.close()


def test_a_line_that_was_cut_is_taken_away(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(1, line(1))
    journal.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + line(2)[:7])
    again = opened(tmp_path)
    assert again.last == 1
    again.append(2, line(2))
    assert identities(again) == [1, 2]
    again.close()


def test_what_a_power_loss_left_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / f"{7:020d}.jsonl").write_bytes(line(7) + bytes(50) + b"\n" + line(8) + b'{"no": "event"}\n')
    journal = opened(tmp_path)
    assert (journal.last, identities(journal)) == (8, [7, 8])
    journal.close()


def test_a_reader_sees_what_was_there_when_it_began(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(1, line(1))
    segments = journal.segments()
    journal.append(2, line(2))
    assert [event["Wardian"]["ID"] for segment in segments for event in segment.events()] == [1]
    journal.close()


EXEC = ("container", "exec_create: sh", "c0ffee", {"image": "web:1", "name": "front", "tier": "a"})
PULL = ("image", "pull", "web:1", {"name": "web"})
NETWORK = ("network", "connect", "ae7b", {"name": "bridge", "container": "c0ffee"})
DAEMON = ("daemon", "start", "1234", {"name": "host"})


@pytest.mark.parametrize(
    ("told", "filters", "taken"),
    [
        (EXEC, {}, True),
        (EXEC, {"type": ["container"]}, True),
        (EXEC, {"type": ["image"]}, False),
        (EXEC, {"event": ["exec_create"]}, True),
        (EXEC, {"event": ["exec_create: sh"]}, True),
        (EXEC, {"event": ["exec_start"]}, False),
        (EXEC, {"container": ["front"]}, True),
        (EXEC, {"container": ["c0f"]}, True),
        (EXEC, {"container": ["fr", "back"]}, True),
        (EXEC, {"container": ["back"]}, False),
        (EXEC, {"image": ["web"]}, True),
        (EXEC, {"image": ["web:1"]}, True),
        (EXEC, {"image": ["web:2"]}, False),
        (EXEC, {"label": ["tier"]}, True),
        (EXEC, {"label": ["tier=a", "missing"]}, False),
        (EXEC, {"scope": ["local"]}, True),
        (EXEC, {"scope": ["swarm"]}, False),
        (EXEC, {"container": ["front"], "event": ["die"]}, False),
        (EXEC, {"nobody-knows": ["x"]}, True),
        (PULL, {"image": ["web"]}, True),
        (PULL, {"container": ["web"]}, False),
        (NETWORK, {"network": ["bridge"]}, True),
        (NETWORK, {"network": ["ae"]}, True),
        (NETWORK, {"volume": ["ae"]}, False),
        (DAEMON, {"daemon": ["host"]}, True),
        (DAEMON, {"daemon": ["1234"], "type": ["daemon"]}, True),
    ],
)
def test_filters(told: tuple[str, str, str, dict[str, str]], filters: dict[str, list[str]], taken: bool) -> None:
    kind, action, identity, attributes = told
    event: dict[str, Any] = {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": identity, "Attributes": attributes},
        "scope": "local",
    }
    assert matches_event(event, filters) is taken


def test_a_closed_journal_takes_nothing_and_opens_nothing(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "events"))
    journal.open()
    journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(1, b"{}\n")
    assert os.listdir(tmp_path / "events") == []


def test_a_line_has_a_bound_and_keeps_what_is_short() -> None:
    attributes = {f"label{number}" + "k" * number: "\x01" * 9999 for number in range(1000)} | {
        "name": "web",
        "image": "i",
    }
    event = {
        "status": "s" * 99999, "id": "1", "from": "f" * 99999, "Type": "container",
        "Action": "exec_start: " + "a" * 99999,
        "Actor": {"ID": "1", "Attributes": {"k" * 99999: "v", **attributes}}, "timeNano": 5, "Wardian": {"ID": 7},
    }  # fmt: skip
    line = line_of(event)
    assert len(line) <= LONGEST and line.endswith(b"}\n")
    told = msgspec.json.decode(line)
    assert told["Actor"]["Attributes"].items() >= {"name": "web", "image": "i"}.items()
    assert told["Action"].startswith("exec_start: aaa") and told["Wardian"] == {"ID": 7}
    short = {"Actor": {"ID": "1", "Attributes": {"a": "b" * 1000}}}
    assert msgspec.json.decode(line_of(short)) == short
