"""Launchers that wait for the next plans: after a lack of descriptors they wait again."""

import asyncio
import errno
import os

import pytest

from launched import run
from wardian.runtime import ready


def test_after_a_lack_of_descriptors_they_wait_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = ready.start

    def none_left() -> ready.Launcher:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def test() -> None:
        monkeypatch.setattr(ready, "start", none_left)
        ready.keep_ready()
        waiting = ready._waiting[asyncio.get_running_loop()]
        for _ in range(2 * ready._STOCK):
            with pytest.raises(OSError, match="Too many open files"):
                ready.take()
        async with asyncio.timeout(20):
            while not waiting.orders.empty():
                await asyncio.sleep(0.005)
            monkeypatch.setattr(ready, "start", begin)
            taken = ready.take()
            while len(waiting.launchers) < ready._STOCK:
                await asyncio.sleep(0.005)
        waiting.launchers.append(taken)  # it ends with them
        ready.keep_none()

    run(test())
