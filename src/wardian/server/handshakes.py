"""Who may shake hands: strangers take memory in their turn, and only so much of it.

    connected ──▶ waits, unread ──▶ under way (at most _AT_ONCE) ──▶ known, or gone

OpenSSL has up to 250 kB for a handshake, and libc keeps what a crowd took at once. Who is slow gives way when others
wait: half a handshake in each place would keep everybody out for as long as its deadline is.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_AT_ONCE = 64
_WAITING = 1024  # more are turned away, as by a listening socket whose queue is full
_PATIENCE = 1.0  # seconds for a handshake while others wait


class Stranger(Protocol):
    """A connection whose client is not known yet."""

    def hold(self, on: bool) -> None:
        """Is not read any more, or again."""

    def begin(self) -> None:
        """It is its turn."""

    def abort(self) -> None:
        """Goes, and says `leave` soon."""


class Handshakes:
    """Of all the sockets of a server that speak TLS."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[Stranger, float] = {}  # since when, the oldest first
        self._waiting: dict[Stranger, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, one: Stranger) -> None:
        if len(self._under_way) < _AT_ONCE:
            self._begin(one)
        elif len(self._waiting) < _WAITING:
            one.hold(True)
            self._waiting[one] = None
            self._watch()
        else:
            one.abort()

    def leave(self, one: Stranger) -> None:
        """It is known now, or gone. May be said twice."""
        self._waiting.pop(one, None)
        if self._under_way.pop(one, None) is not None and self._waiting:
            following = next(iter(self._waiting))
            del self._waiting[following]
            following.hold(False)
            self._begin(following)

    def _begin(self, one: Stranger) -> None:
        self._under_way[one] = self._loop.time()
        one.begin()

    def _watch(self) -> None:
        """The slowest goes when its time is over, if others wait then."""
        if self._timer is None:
            self._timer = self._loop.call_at(next(iter(self._under_way.values())) + _PATIENCE, self._relieve)

    def _relieve(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        over = self._loop.time() - _PATIENCE
        for one in [one for one, since in self._under_way.items() if since <= over][: len(self._waiting)]:
            one.abort()
            self.leave(one)
        self._watch()
