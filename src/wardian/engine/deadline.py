"""Looks at places that may never answer: a path of the user's on a dead NFS server, a FUSE mount nobody serves, a
database of users behind a network.

Such a call cannot be broken off (open(2) and stat(2) know no deadline), so a thread of its own makes it, and the caller
is told after a while which path it was. The thread stays with the call until the kernel answers, and then ends: nobody
is there any more for whom to make a directory.

Threads that stay are counted for each container or place by itself: a few, and the next look at it is refused at once.
Looks at others do not hear of it.
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
_MOST = 256  # at one place, of which most are done at once
_STUCK = 8  # of these, such as nobody waits for any more
_under_way: "dict[str, set[_Look[Any]]]" = {}
_lock = threading.Lock()


class _Look(Generic[Result]):
    """One look: `job` in whatever thread, and what is known of it meanwhile."""

    def __init__(self, job: Callable[[At], Result], operation: str, of: str) -> None:
        _refuse_more(of, operation)
        self._job = job
        self._of = of
        self._operation = operation
        self._place = ""
        self.given_up = False

    def run(self) -> Result:
        with _lock:
            _under_way.setdefault(self._of, set()).add(self)
        try:
            return self._job(self._at)
        finally:
            with _lock:
                others = _under_way[self._of]
                others.remove(self)
                if not others:
                    del _under_way[self._of]

    def _at(self, path: str) -> None:
        if self.given_up:
            raise Abandoned
        self._place = path

    def unanswered(self) -> WardianError:
        message = f"{self._place} does not answer: nothing came within {SECONDS:g} s"
        return WardianError(SYSTEM, message, operation=self._operation, subject=self._place)


def _refuse_more(of: str, operation: str) -> None:
    with _lock:
        looks = _under_way.get(of, set())
        waiting, stuck = len(looks), sum(look.given_up for look in looks)
    if waiting >= _MOST or stuck >= _STUCK:
        message = f"{waiting} looks at the files of {of} wait for an answer; is a file system gone?"
        raise WardianError(UNAVAILABLE, message, operation=operation, subject=of)


async def look(job: Callable[[At], Result], operation: str, of: str) -> Result:
    """Runs `job(at)` in a thread; it calls `at(path)` before it touches a path, for the error that names it. `of` is
    the container or the place that it looks at."""
    one = _Look(job, operation, of)
    try:
        async with asyncio.timeout(SECONDS):
            return await work(lambda _: one.run(), lambda _: None, "wardian-look")
    except TimeoutError as error:  # ours, or the file system's own ETIMEDOUT
        raise one.unanswered() from error
    finally:
        one.given_up = True


def look_from_thread(job: Callable[[At], Result], operation: str, of: str, drop: Callable[[Result], None]) -> Result:
    """The same for a thread that may wait itself. An answer that comes when nobody waits any more goes to `drop`."""
    one = _Look(job, operation, of)
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
