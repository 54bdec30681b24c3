"""Turns of those whose handshake is under way, in a loop of asyncio's without sockets."""

import asyncio

from wardian.server import handshakes
from wardian.server.handshakes import Handshakes


class Client:
    def __init__(self) -> None:
        self.held = self.begun = self.aborted = False

    def hold(self, on: bool) -> None:
        self.held = on

    def begin(self) -> None:
        assert not self.held
        self.begun = True

    def abort(self) -> None:
        self.aborted = True


def _enter(turns: Handshakes, count: int) -> list[Client]:
    made = [Client() for _ in range(count)]
    for one in made:
        turns.enter(one)
    return made


async def _wait_in_order() -> None:
    turns = Handshakes()
    first = _enter(turns, handshakes._AT_ONCE)
    assert all(one.begun and not one.held for one in first)
    second, third = _enter(turns, 2)
    assert second.held and third.held and not second.begun
    turns.leave(second)  # it went while it waited
    turns.leave(first[5])
    assert third.begun and not second.begun
    turns.leave(first[5])
    assert _enter(turns, 1)[0].held  # nobody's place was given twice


async def _give_way() -> None:
    turns = Handshakes()
    first = _enter(turns, handshakes._AT_ONCE)
    waiting = _enter(turns, 2)
    async with asyncio.timeout(20):
        while not waiting[1].begun:
            await asyncio.sleep(0.01)
    assert [one.aborted for one in first] == [True, True] + [False] * (len(first) - 2)


async def _turn_away() -> None:
    turns = Handshakes()
    _enter(turns, handshakes._AT_ONCE + handshakes._WAITING)
    assert _enter(turns, 1)[0].aborted


def test_the_rest_waits_in_order() -> None:
    asyncio.run(_wait_in_order())


def test_the_slow_give_way_to_who_waits() -> None:
    asyncio.run(_give_way())


def test_more_are_turned_away() -> None:
    asyncio.run(_turn_away())
