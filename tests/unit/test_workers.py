"""Work in threads: what becomes of its result when nobody waits any more."""

import asyncio
import threading

import pytest

from wardian.engine.workers import work


def test_a_result_that_nobody_waits_for_is_given_back() -> None:
    begun, go = threading.Event(), threading.Event()
    given: asyncio.Queue[str] = asyncio.Queue()

    def job(_: object) -> str:
        begun.set()
        assert go.wait(30)
        return "held"

    async def story() -> None:
        waiting = asyncio.ensure_future(work(job, print, "test", unwanted=given.put_nowait))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert await asyncio.wait_for(given.get(), 30) == "held"
        assert await work(job, print, "test", unwanted=given.put_nowait) == "held"
        assert given.empty()

    asyncio.run(story())
