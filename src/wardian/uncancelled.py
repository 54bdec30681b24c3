"""Work that has to come to its end once it began, whoever waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


async def to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Does `work` in a task of its own. Who is cancelled meanwhile waits until it is done, and is cancelled then."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await done(running)
        if not running.cancelled():
            running.exception()  # its error has nobody to go to: the cancel does
        raise


async def done(running: "asyncio.Future[Any]") -> None:
    """Waits for its end, its outcome aside. Cancels of who waits are not heard here: one was already."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue
