"""A directory server for users that is gone (nsswitch.conf(5)): getpwuid(3) does not return. Nobody else notices."""

import asyncio
import pwd
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from benches import Bench
from wardian.caller import calling
from wardian.engine import deadline

_PATIENCE = 20.0


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until it is set, the server does not answer."""
    answered = threading.Event()
    real = pwd.getpwuid

    def hangs(uid: int) -> pwd.struct_passwd:
        answered.wait(60)
        return real(uid)

    monkeypatch.setattr(pwd, "getpwuid", hangs)
    monkeypatch.setattr(deadline, "SECONDS", 60.0)
    yield answered
    answered.set()


async def _meanwhile(
    asked: list[Coroutine[Any, Any, Any]], other: Coroutine[Any, Any, Any], answers: threading.Event
) -> list[Any]:
    """What `asked` gives at last; `other` is done before."""
    tasks = [asyncio.create_task(one) for one in asked]
    await asyncio.sleep(0)
    async with asyncio.timeout(_PATIENCE):
        await other
    assert not any(task.done() for task in tasks)
    answers.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_keep_id(bench: Bench, answers: threading.Event) -> None:
    async def kept() -> None:
        calling("uid 1234 pid 77 (docker)")
        host = {"UsernsMode": "keep-id", "NetworkMode": "none"}
        await bench.engine.containers.create({"Image": "busybox", "HostConfig": host})

    bench.run(_meanwhile([kept()], bench.engine.containers.create({"Image": "busybox"}), answers))


def test_top(bench: Bench, answers: threading.Event) -> None:
    """More of them than the executor has threads that all of the engine share."""
    identity = bench.start("sleep", "1000")
    tops = [bench.engine.containers.top(identity) for _ in range(40)]
    found = bench.run(_meanwhile(tops, asyncio.to_thread(lambda: None), answers))
    assert [one["Processes"][0][-1] for one in found] == ["sleep 1000"] * 40
