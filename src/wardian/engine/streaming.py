"""Bytes between a worker thread and the event loop, either way: a thread reads and writes files, the loop clients.

What waits between them is bounded: the faster side waits for the slower one, and never the event loop.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from wardian.engine.workers import Abandoned, work

Item = TypeVar("Item")
Result = TypeVar("Result")

_DEPTH = 4  # pieces of a quarter of a MiB each
_END = object()


async def produced(make: Callable[[], Iterator[Item]], name: str) -> AsyncIterator[Item]:
    """What the iterator gives that `make` makes, both in a thread of their own. Whoever closes this one closes that."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[Any] = asyncio.Queue()
    room = threading.Semaphore(_DEPTH)
    gone = False

    def tell(item: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(waiting.put_nowait, item)

    def run() -> None:
        try:
            with contextlib.closing(make()) as items:  # type: ignore[type-var]  # all of ours are generators
                for item in items:
                    room.acquire()
                    if gone:
                        return
                    tell((item,))
            tell(_END)
        except BaseException as error:
            tell(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        while (item := await waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item[0]
    finally:
        gone = True
        room.release()


async def consumed(pieces: AsyncIterator[bytes], consume: Callable[[Iterator[bytes]], Result], name: str) -> Result:
    """Runs `consume` in a thread on what `pieces` gives. A failure of `pieces` is raised there, and so here."""
    loop = asyncio.get_running_loop()
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    room = asyncio.Semaphore(_DEPTH)

    def taken() -> Iterator[bytes]:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            if not loop.is_closed():
                loop.call_soon_threadsafe(room.release)
            yield item

    async def feed() -> None:
        try:
            async for piece in pieces:
                await room.acquire()
                waiting.put(piece)
            waiting.put(_END)
        except BaseException as error:
            waiting.put(error if isinstance(error, Exception) else Abandoned())
            if not isinstance(error, Exception):
                raise

    feeding = asyncio.create_task(feed())
    try:
        return await work(lambda _: consume(taken()), lambda _: None, name, lambda: waiting.put(Abandoned()))
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
