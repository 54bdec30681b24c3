"""A request's body: bytes that the connection feeds and a handler reads, with backpressure between them.

What waits here is bounded: past HIGH_WATER the connection stops reading from the socket until the handler has taken it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from wardian.errors import INVALID, WardianError

HIGH_WATER = 256 << 10


class Body:
    """`wanted` is called when a handler first reads (100 Continue), `pause(bool)` stops and resumes the socket."""

    def __init__(self, wanted: Callable[[], None], pause: Callable[[bool], None]) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._broken = False
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = wanted
        self._asked = False
        self._pause = pause
        self._paused = False

    def feed(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._pause(True)
        self._wake()

    def feed_end(self, broken: bool = False) -> None:
        """The body is whole; or `broken`: the client left in the middle of it."""
        self._ended = True
        self._broken = self._broken or broken
        self._wake()

    @property
    def ended(self) -> bool:
        return self._ended

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _next(self) -> bytes:
        """The next piece; b"" at the end. Raises WardianError when the client left before."""
        if not self._asked:
            self._asked = True
            self._wanted()
        while not self._pieces:
            if self._ended:
                if self._broken:
                    raise WardianError(INVALID, "the client ended the request in the middle of its body")
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._paused and self._size <= HIGH_WATER // 2:
            self._paused = False
            self._pause(False)
        return piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._next():
            yield piece

    async def read(self, limit: int) -> bytes:
        """All of it. Raises WardianError past `limit` bytes."""
        pieces, size = [], 0
        while piece := await self._next():
            size += len(piece)
            if size > limit:
                message = f"the request's body is longer than {limit >> 20} MiB ({limit} bytes)"
                raise WardianError(INVALID, message, operation="read body")
            pieces.append(piece)
        return b"".join(pieces)
