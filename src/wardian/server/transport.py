"""A connected socket under a protocol: what asyncio's own transport does, in fewer turns of the loop.

asyncio takes a new connection in four: a task, a waiter, `connection_made`, the reader. Here it is one, and what the
client has sent by then is read at once; of an exec on an idle machine that is a twentieth.
"""

import asyncio
import socket
from typing import Any

_MOST = 1 << 18  # bytes that are read at a time
_FULL, _EMPTY = 1 << 16, 1 << 14  # of what waits to be written: from where the protocol is to pause, and to go on


class SocketTransport(asyncio.Transport):
    """Of a stream socket that does not block, and that it closes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": sock})
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._protocol: asyncio.Protocol = protocol
        self._unsent = bytearray()
        self._full, self._empty = _FULL, _EMPTY
        self._protocol_pauses = False
        self._wants = True  # the protocol reads
        self._watched = False
        self._more = True  # the client has not ended its side
        self._closing = False
        self._lost = False

    def open(self) -> None:
        """Begins. Who has connected has asked by now, most often."""
        self._protocol.connection_made(self)
        self._watch()
        if self._watched:
            self._readable()

    # Reading.

    def _watch(self) -> None:
        watched = self._wants and self._more and not self._closing
        if watched and not self._watched:
            self._loop.add_reader(self._fd, self._readable)
        elif self._watched and not watched:
            self._loop.remove_reader(self._fd)
        self._watched = watched

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_MOST)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        try:
            if data:
                self._protocol.data_received(data)
            else:
                self._more = False
                if not self._protocol.eof_received():
                    self.close()
                self._watch()
        except Exception as error:
            self._loop.call_exception_handler({"message": "a connection's protocol failed", "exception": error})
            self._lose(error)

    def is_reading(self) -> bool:
        return self._wants and not self._closing

    def pause_reading(self) -> None:
        self._wants = False
        self._watch()

    def resume_reading(self) -> None:
        self._wants = True
        self._watch()

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._lost or not data:
            return
        if not self._unsent:
            sent = self._send(data)
            if sent < 0 or sent == len(data):
                return
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._fd, self._writable)
        else:
            self._unsent += data
        if len(self._unsent) > self._full and not self._protocol_pauses:
            self._protocol_pauses = True
            self._protocol.pause_writing()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """How much the socket took; -1 when nobody is there."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._lose(error)
            return -1

    def _writable(self) -> None:
        sent = self._send(self._unsent)
        if sent < 0:
            return
        del self._unsent[:sent]
        if not self._unsent:  # before the protocol is called: it may write, close, or find that nobody is there
            self._loop.remove_writer(self._fd)
        if self._protocol_pauses and len(self._unsent) <= self._empty:
            self._protocol_pauses = False
            self._protocol.resume_writing()
        if self._closing and not self._unsent:
            self._lose(None)

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._full = _FULL if high is None else high
        self._empty = self._full // 4 if low is None else low

    def can_write_eof(self) -> bool:
        return False

    # Its end.

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """What was written is still sent."""
        if self._closing:
            return
        self._closing = True
        self._watch()
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._watch()
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._fd)
        self._loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()

    # asyncio's.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sock if name == "socket" else default
