"""Looks at places that may never answer: a path of the user's on a dead NFS server, a FUSE mount nobody serves.

Such a call cannot be broken off (open(2) and stat(2) know no deadline), so a thread of its own makes it, and the caller
is told after a while which path it was. The thread stays with the call until the kernel answers, and then ends: nobody
is there any more for whom to make a directory.
"""

import asyncio
from collections.abc import Callable

from wardian.engine.workers import Abandoned, Result, work
from wardian.errors import SYSTEM, UNAVAILABLE, WardianError

At = Callable[[str], None]

SECONDS = 10.0
_MOST = 256
_under_way: set[object] = set()


async def look(job: Callable[[At], Result], operation: str) -> Result:
    """Runs `job(at)` in a thread; it calls `at(path)` before it touches a path, for the error that names it."""
    place, given_up = "", False
    token = object()

    def at(path: str) -> None:
        nonlocal place
        if given_up:
            raise Abandoned
        place = path

    def run(_: object) -> Result:
        _under_way.add(token)
        try:
            return job(at)
        finally:
            _under_way.discard(token)

    if len(_under_way) >= _MOST:
        message = f"{_MOST} looks at paths of this host are waiting for an answer; is a file system gone?"
        raise WardianError(UNAVAILABLE, message, operation=operation)
    try:
        async with asyncio.timeout(SECONDS):
            return await work(run, lambda _: None, "wardian-look")
    except TimeoutError as error:  # ours, or the file system's own ETIMEDOUT
        message = f"{place} does not answer: no reply from its file system within {SECONDS:g} s"
        raise WardianError(SYSTEM, message, operation=operation, subject=place) from error
    finally:
        given_up = True
