"""What users are called, for `--allow`: getpwuid(3), which may ask a directory server over the network
(nsswitch.conf(5)) and wait for it longer than anybody should. So a thread asks, who waits for it has a deadline, and an
answer is kept for a while.
"""

from __future__ import annotations

import asyncio
import pwd
import time

from wardian.engine.workers import work
from wardian.errors import UNAVAILABLE, WardianError

SECONDS = 10.0
_KEPT = 60.0
_MOST = 16  # questions at a time, one for a user: threads that wait for a server that is gone


class UserNames:
    """Used from the event loop's thread."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, str]] = {}
        self._asked: dict[int, asyncio.Task[str]] = {}

    async def name(self, uid: int) -> str:
        """The user's name; their number in words where the host has none. Raises WardianError(UNAVAILABLE)."""
        until, name = self._known.get(uid, (0.0, ""))
        if time.monotonic() < until:
            return name
        task = self._asked.get(uid)
        if task is None:
            if len(self._asked) >= _MOST:
                raise _unanswered(uid, f"{_MOST} questions for users' names wait for an answer")
            task = self._asked[uid] = asyncio.create_task(self._ask(uid))
        try:
            async with asyncio.timeout(SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            raise _unanswered(uid, f"no answer within {SECONDS:g} s") from None

    async def _ask(self, uid: int) -> str:
        """Also for those who ask later, so it goes on when its first asker has given up."""
        try:
            name = await work(lambda _: _name(uid), lambda _: None, "wardian-user")
        finally:
            del self._asked[uid]
        if not name:
            return str(uid)  # not kept: a server that is down looks like this, too
        self._known[uid] = time.monotonic() + _KEPT, name
        return name


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _unanswered(uid: int, why: str) -> WardianError:
    message = f"what user {uid} is called is not known, and --allow goes by names: {why}"
    hint = "is a server that nsswitch.conf(5) names for passwd not reachable?"
    return WardianError(UNAVAILABLE, message, operation="authorize", subject=str(uid), hint=hint)
