"""TLS in front of a connection: the clear bytes go through a socket pair to a `Connection` like any other.

    client ══TLS══▶ Relay ──socket pair──▶ Connection, or the supervisor that the pair's end was handed over to

So attach and exec are handed over as on the unix socket, and nothing below knows of TLS; but their bytes pass here, and
such a stream ends with this engine. Each way is closed by itself (RFC 8446 section 6.1): a client's close_notify is the
end of a container's stdin, while its output still comes.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import ssl
from typing import TYPE_CHECKING

from wardian.server.callers import Caller
from wardian.server.connection import Connection
from wardian.server.handshakes import Handshakes
from wardian.tls import TlsStream

if TYPE_CHECKING:
    from wardian.server.application import Application

log = logging.getLogger("wardian.server")

_HANDSHAKE_SECONDS = 10.0
_NOBODY = -1


class Relay(asyncio.Protocol):
    """The client's side: TLS bytes. `_Inner` is the pair's."""

    def __init__(self, application: Application, context: ssl.SSLContext, handshakes: Handshakes) -> None:
        self._application = application
        self._context = context
        self._handshakes = handshakes
        self._loop = asyncio.get_running_loop()
        self._inner: asyncio.Transport | None = None
        self._joining: asyncio.Task[None] | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        host, port, *_ = transport.get_extra_info("peername") or ("an address unknown", 0)  # it may have left already
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._deadline = self._loop.call_later(_HANDSHAKE_SECONDS, transport.abort)
        # A turn later, before anything is read: asyncio has yet to watch the socket, and would although it is held.
        self._loop.call_soon(self._handshakes.enter, self)

    def data_received(self, data: bytes) -> None:
        try:
            clear = self._tls.receive(data)
        except ssl.SSLError as error:
            log.debug("refused a client at %s: %s", self._address, error.reason or error)
            self._flush()  # the alert says to the client what was wrong
            self._transport.close()
            return
        self._flush()
        if self._tls.ready and self._joining is None:
            self._deadline.cancel()
            self._handshakes.leave(self)
            self._joining = self._loop.create_task(self._join())
            self._joining.add_done_callback(self._joined)
        self._pass_on(clear)

    def eof_received(self) -> bool:
        """TCP's end without a close_notify: the client is gone, or its stream was cut off; it gets no more."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
        self._handshakes.leave(self)
        if self._inner is not None:
            self._inner.abort()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_reading()

    def resume_writing(self) -> None:
        if self._inner is not None and not self._inner.is_closing():
            self._inner.resume_reading()

    async def _join(self) -> None:
        """Makes the pair, once the client is known."""
        caller = Caller(0, _NOBODY, _NOBODY, self._tls.peer_name(), self._address)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await self._loop.create_unix_connection(lambda: Connection(self._application, caller), sock=theirs)
        inner, _ = await self._loop.create_unix_connection(lambda: _Inner(self), sock=ours)
        self._inner = inner
        if self._transport.is_closing():
            inner.abort()
            return
        early, self._early = self._early, []
        for clear in early:
            inner.write(clear)
        if self._tls.ended:
            inner.write_eof()

    def _joined(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("cannot serve %s: %s", self._address, task.exception())  # no descriptor is left
            self._transport.abort()

    def _pass_on(self, clear: bytes) -> None:
        if self._inner is None:
            if clear:
                self._early.append(clear)
            return
        if clear and not self._inner.is_closing():
            self._inner.write(clear)
        if self._tls.ended and self._inner.can_write_eof() and not self._inner.is_closing():
            self._inner.write_eof()

    def _flush(self) -> None:
        data = self._tls.take()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    # What the handshakes call, and `hold`.

    def begin(self) -> None:
        self._tls = TlsStream(self._context, server_side=True)

    def abort(self) -> None:
        self._transport.abort()

    # What the pair's side calls.

    def answer(self, clear: bytes) -> None:
        if not self._transport.is_closing():
            self._tls.send(clear)
            self._flush()

    def answer_ended(self) -> None:
        if not self._transport.is_closing():
            self._tls.finish()
            self._flush()

    def close(self) -> None:
        self._transport.close()

    def hold(self, on: bool) -> None:
        """The container reads slower than the client writes; or others shake hands."""
        if not self._transport.is_closing():
            (self._transport.pause_reading if on else self._transport.resume_reading)()


class _Inner(asyncio.Protocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._fd = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        self._relay.answer(data)

    def eof_received(self) -> bool:
        """True: the client may still send, where whoever has the pair's other end still reads."""
        self._relay.answer_ended()
        return not _hung_up(self._fd)

    def connection_lost(self, error: Exception | None) -> None:
        self._relay.answer_ended()
        self._relay.close()

    def pause_writing(self) -> None:
        self._relay.hold(True)

    def resume_writing(self) -> None:
        self._relay.hold(False)


def _hung_up(fd: int) -> bool:
    """Both ways are closed (poll(2), POLLHUP)."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
