"""A websocket's client and a container: messages go through a socket pair to whoever takes the pair's other end.

    client ══frames══▶ _Outer ──socket pair──▶ the supervisor that the pair's end was handed over to

So attach is handed over as on a plain socket, and the supervisor knows nothing of websockets; but the bytes pass here,
and such a stream ends with this engine. A websocket cannot be closed halfway: the client's end is that of its input
and of its output.

What waits in this process is bounded both ways: the pair is not read while the client does not, the client not while
the container does not. Pings cannot fill memory either: while the client does not read, one answer waits.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from wardian.errors import WardianError
from wardian.server.websocket import FAILED, GOING_AWAY, NORMAL, Frames

_CLOSE_SECONDS = 5.0

Attach = Callable[[int, bytes], Awaitable[None]]


async def relay(transport: asyncio.Transport, early: bytes, frames: Frames, attach: Attach) -> None:
    """Takes `transport` over, gives the container's end to `attach`, and returns when the client is gone. `early`: what
    the client had sent behind its request."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        outer = _Outer(transport, frames)
        inner, _ = await loop.create_unix_connection(lambda: _Inner(outer), sock=ours)
        outer.begin(inner, early)
        try:
            try:
                await attach(theirs.detach(), b"")
            except WardianError as error:
                outer.finish(FAILED, error.message)
                raise
            await outer.gone.wait()
        except asyncio.CancelledError:
            outer.finish(GOING_AWAY, "the engine ends")
            raise
        finally:
            if outer.gone.is_set():
                inner.close()  # what the client said last is still delivered


class _Outer(asyncio.Protocol):
    """The client's side."""

    def __init__(self, transport: asyncio.Transport, frames: Frames) -> None:
        self._transport = transport
        self._frames = frames
        self._congested = False
        self._pong = b""
        self._finished = False
        self.gone = asyncio.Event()

    def begin(self, inner: asyncio.Transport, early: bytes) -> None:
        self._inner = inner
        self._transport.set_protocol(self)
        if self._transport.is_closing():  # connection_lost went, or goes, to the protocol before
            self.gone.set()
            return
        if early:
            self.data_received(early)
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        received = self._frames.receive(data)
        if received.content and not self._inner.is_closing():
            self._inner.write(received.content)
        self._pong = received.pong or self._pong
        if not self._congested:
            self._answer_ping()
        if self._frames.ended:
            self._write(received.reply)
            self._inner.close()
            self._transport.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._inner.close()
        self.gone.set()

    def pause_writing(self) -> None:
        self._congested = True
        if not self._inner.is_closing():
            self._inner.pause_reading()

    def resume_writing(self) -> None:
        self._congested = False
        self._answer_ping()
        if not self._inner.is_closing():
            self._inner.resume_reading()

    # What the pair's side calls.

    def say(self, data: bytes) -> None:
        self._write(self._frames.message(data))

    def finish(self, code: int = NORMAL, why: str = "") -> None:
        """The client answers a close with a close, and is not waited for long."""
        if self._finished or self._transport.is_closing():
            return
        self._finished = True
        self._write(self._frames.close(code, why))
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._transport.close)

    def hold(self, on: bool) -> None:
        """The container reads slower than the client writes."""
        if not self._transport.is_closing():
            (self._transport.pause_reading if on else self._transport.resume_reading)()

    def _answer_ping(self) -> None:
        pong, self._pong = self._pong, b""
        self._write(pong)

    def _write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)


class _Inner(asyncio.Protocol):
    """The container's side."""

    def __init__(self, outer: _Outer) -> None:
        self._outer = outer

    def data_received(self, data: bytes) -> None:
        self._outer.say(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._outer.finish()

    def pause_writing(self) -> None:
        self._outer.hold(True)

    def resume_writing(self) -> None:
        self._outer.hold(False)
