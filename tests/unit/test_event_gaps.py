"""What an engine that was killed did not come to tell is found by comparing what it told with what is."""

from typing import Any

import pytest

from wardian.engine.events.gaps import Told, missing_of, told_of
from wardian.engine.life.state import RunState, State
from wardian.engine.options.config import ContainerConfig
from wardian.engine.registry import Container
from wardian.engine.store import ContainerRecord

SINCE = 1_000


def container(state: RunState, created: int = 2_000) -> Container:
    record = ContainerRecord("c1", "web", created, "sha256:i", "bb:1", (), {})
    return Container(record, ContainerConfig({}, "c1"), state)


RUNNING = RunState(State.RUNNING, pid=7, started_at=3_000_000_000)
ENDED = RunState(State.EXITED, started_at=3_000_000_000, finished_at=8_000_000_000, exit_code=3)


def event(action: str, kind: str = "container", identity: str = "c1", time: int = SINCE) -> dict[str, Any]:
    return {"Type": kind, "Action": action, "Actor": {"ID": identity, "Attributes": {"name": "web"}}, "timeNano": time}


@pytest.mark.parametrize(
    ("state", "actions", "missing"),
    [
        (RunState(), ["create"], []),
        (RunState(), [], ["create"]),
        (RUNNING, ["create", "start"], []),
        (RUNNING, ["create"], ["start"]),
        (RUNNING, ["create", "start", "die", "start", "pause"], []),
        (RUNNING, ["create", "start", "die"], ["start"]),
        (ENDED, ["create", "start", "die"], []),
        (ENDED, ["create", "start", "kill"], ["die"]),
        (ENDED, ["create"], []),  # its start was not told either: then neither is worth a word
    ],
)
def test_of_a_container_that_is_there(state: RunState, actions: list[str], missing: list[str]) -> None:
    found, since = told_of([event("start", "daemon", "d"), *map(event, actions)])
    assert since == SINCE
    assert [one.action for one in missing_of(container(state), found.get("c1", Told()), since)] == missing


def test_what_die_says() -> None:
    (one,) = missing_of(container(ENDED), Told(created=True, life="start"), SINCE)
    assert one.attributes == {"image": "bb:1", "name": "web", "exitCode": "3", "execDuration": "5"}


def test_what_was_before_the_journal_is_not_missed() -> None:
    """Its events were let go: the journal is bounded."""
    found, since = told_of([event("exec_start", time=9_000_000_000)])
    assert missing_of(container(RUNNING), found["c1"], since) == []


def test_one_that_is_gone() -> None:
    found, _ = told_of([event("create"), event("destroy"), event("create", identity="c2")])
    assert [identity for identity, told in found.items() if not told.destroyed] == ["c2"]
