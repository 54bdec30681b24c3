"""Looks at places that may never answer: a path of the user's on a dead NFS server, a FUSE mount nobody serves.

Such a call cannot be broken off (open(2) and stat(2) know no deadline), so a thread of its own makes it, and the caller
is told after a while which path it was. The thread stays with the call until the kernel answers, and then ends: nobody
is there any more for whom to make a directory.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic

from wardian.engine.workers import Abandoned, Result, work
from wardian.errors import SYSTEM, UNAVAILABLE, WardianError

At = Callable[[str], None]

SECONDS = 10.0
_MOST = 256
_under_way: "set[_Look[Any]]" = set()


class _Look(Generic[Result]):
    """One look: `job` in whatever thread, and what is known of it meanwhile."""

    def __init__(self, job: Callable[[At], Result], operation: str) -> None:
        if len(_under_way) >= _MOST:
            message = f"{_MOST} looks at paths of this host are waiting for an answer; is a file system gone?"
            raise WardianError(UNAVAILABLE, message, operation=operation)
        self._job = job
        self._operation = operation
        self._place = ""
        self.given_up = False

    def run(self) -> Result:
        _under_way.add(self)
        try:
            return self._job(self._at)
        finally:
            _under_way.discard(self)

    def _at(self, path: str) -> None:
        if self.given_up:
            raise Abandoned
        self._place = path

    def unanswered(self) -> WardianError:
        message = f"{self._place} does not answer: no reply from its file system within {SECONDS:g} s"
        return WardianError(SYSTEM, message, operation=self._operation, subject=self._place)


async def look(job: Callable[[At], Result], operation: str) -> Result:
    """Runs `job(at)` in a thread; it calls `at(path)` before it touches a path, for the error that names it."""
    one = _Look(job, operation)
    try:
        async with asyncio.timeout(SECONDS):
            return await work(lambda _: one.run(), lambda _: None, "wardian-look")
    except TimeoutError as error:  # ours, or the file system's own ETIMEDOUT
        raise one.unanswered() from error
    finally:
        one.given_up = True


def look_from_thread(job: Callable[[At], Result], operation: str, drop: Callable[[Result], None]) -> Result:
    """The same for a thread that may wait itself. An answer that comes when nobody waits any more goes to `drop`."""
    one = _Look(job, operation)
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            answer.set_result(one.run())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="wardian-look", daemon=True).start()
    try:
        return answer.result(SECONDS)
    except TimeoutError as error:
        answer.add_done_callback(lambda done: None if done.exception() else drop(done.result()))
        raise one.unanswered() from error
    finally:
        one.given_up = True
