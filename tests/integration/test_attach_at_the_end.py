"""attach with logs=1 of a container that ends just then: its client gets all of the log, and the end of the stream."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from benches import Bench
from wardian.engine import AttachOptions
from wardian.engine.life import sandbox
from wardian.runtime import SupervisorClient, protocol

TALKER = ("sh", "-c", "trap 'echo two; exit' TERM; echo one; while :; do sleep 0.1; done")
Matches = Callable[[str, int], bool]
MOMENTS: dict[str, Matches] = {
    "holds": lambda kind, first: kind == "RELEASE" and first == protocol.NONE,
    "attach": lambda kind, first: kind == "ATTACH",
    "release": lambda kind, first: kind == "RELEASE" and first != protocol.NONE,
}


@pytest.fixture(autouse=True)
def slow_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the end and the state that says so the networks are given back: here it takes a while."""
    release = sandbox.release

    async def slow(*arguments: Any) -> None:
        await asyncio.sleep(0.3)
        await release(*arguments)

    monkeypatch.setattr(sandbox, "release", slow)


def _talking(bench: Bench) -> tuple[str, Any]:
    identity = bench.start(*TALKER)
    while bench.output(identity) != "one\n":
        bench.loop.run_until_complete(asyncio.sleep(0.01))
    return identity, bench.engine.containers._parts.registry.find(identity)


def _attached(bench: Bench, identity: str) -> bytes:
    """All of the stream, as the client gets it."""
    ours, theirs = socket.socketpair()
    session = bench.engine.containers.attach(identity, AttachOptions(stdout=True, logs=True, framed=False))

    async def all_of_it() -> bytes:
        ours.setblocking(False)
        data = b""
        while piece := await bench.loop.sock_recv(ours, 65536):
            data += piece
        return data

    async def both() -> bytes:
        data, _ = await asyncio.gather(all_of_it(), session.hand_over(theirs.detach(), b""))
        return data

    with ours:
        return bench.run(both())


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_end_is_known_before_it_is_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    identity, container = _talking(bench)
    real, matches = SupervisorClient._ask, MOMENTS[moment]

    async def ask(self: SupervisorClient, kind: str, first: int = 0, *more: Any, **named: Any) -> bytes:
        if matches(kind, first):
            os.kill(container.state.pid, signal.SIGTERM)
            while container.supervisor is not None:
                await asyncio.sleep(0.01)
        return await real(self, kind, first, *more, **named)

    monkeypatch.setattr(SupervisorClient, "_ask", ask)
    assert _attached(bench, identity) == b"one\ntwo\n"
    assert bench.finish(identity) == 0


def test_the_end_is_known_before_the_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    identity, container = _talking(bench)
    request, take, ended = SupervisorClient._request, SupervisorClient._take, SupervisorClient._ended
    asked: list[int] = []

    def and_it_ends(self: SupervisorClient, kind: str, first: int, *more: Any) -> int:
        serial = request(self, kind, first, *more)
        if MOMENTS["holds"](kind, first):
            asked.append(serial)
            os.kill(container.state.pid, signal.SIGTERM)
        return serial

    def without_answer(self: SupervisorClient, data: bytes) -> None:
        """It has gone before it read the request."""
        kind = protocol.CONTROL_HEADER.unpack_from(data)[2]
        serial = protocol.ANSWER.unpack_from(data, protocol.CONTROL_HEADER.size)[0]
        if kind != protocol.KINDS["ANSWER"] or serial not in asked:
            take(self, data)

    def ends_later(self: SupervisorClient) -> None:
        """Than it told of the container's end."""
        self._loop.remove_reader(self._control.fileno())
        self._loop.call_later(0.1, ended, self)

    monkeypatch.setattr(SupervisorClient, "_ended", ends_later)
    monkeypatch.setattr(SupervisorClient, "_request", and_it_ends)
    monkeypatch.setattr(SupervisorClient, "_take", without_answer)
    assert _attached(bench, identity) == b"one\ntwo\n"
    assert asked and bench.finish(identity) == 0
