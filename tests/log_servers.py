"""Servers that log drivers send to: syslog over a stream, and fluentd's forward protocol, each in threads of its own.

    server = SyslogServer(("127.0.0.1", 0)); server.address; server.wait(lambda lines: len(lines) == 3); server.close()

`cut()` ends all connections with a reset, in the middle of whatever they were saying; `deaf()` also stops listening,
until `listen()`.
"""

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_RESET = struct.pack("ii", 1, 0)
Address = tuple[str, int] | str


class StreamServer:
    """What is received becomes `lines`, by `_serve` of one connection."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.lines: list[Any] = []
        self._tls = tls
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.listen()

    @property
    def port(self) -> int:
        assert not isinstance(self.address, str)
        return self.address[1]

    def listen(self) -> None:
        if isinstance(self.address, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address)
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.address)
            self._listener.listen()
        else:
            self._listener = socket.create_server(self.address)
            self.address = self._listener.getsockname()
        self._start(self._accept, self._listener)

    def deaf(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        connections, self._connections = self._connections, []
        for connection in connections:
            with contextlib.suppress(OSError):
                if connection.family != socket.AF_UNIX:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.deaf()
        for thread in self._threads:
            thread.join(10)

    def wait(self, there: Callable[[list[Any]], bool], seconds: float = 20) -> list[Any]:
        end = time.monotonic() + seconds
        with self._changed:
            while not there(self.lines):
                left = end - time.monotonic()
                assert left > 0, f"not received: {len(self.lines)} lines, the last {self.lines[-3:]}"
                self._changed.wait(left)
            return list(self.lines)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._start(self._talk, listener.accept()[0])

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._connections.append(connection)
            spoken = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with spoken:
                if self._tls:
                    self._connections[self._connections.index(connection)] = spoken
                self._serve(spoken)

    def _serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def _take(self, *lines: Any) -> None:
        with self._changed:
            self.lines += lines
            self._changed.notify_all()


def _received(connection: socket.socket) -> Iterator[bytes]:
    while data := connection.recv(65536):
        yield data


class SyslogServer(StreamServer):
    """A message ends with a line feed, or is counted by RFC 5425's octets; `counted` says which."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None = None, counted: bool = False) -> None:
        self._counted = counted
        super().__init__(address, tls)

    def _serve(self, connection: socket.socket) -> None:
        rest = b""
        for data in _received(connection):
            rest += data
            while found := self._first(rest):
                message, rest = found
                self._take(message.rstrip(b"\n"))

    def _first(self, data: bytes) -> tuple[bytes, bytes] | None:
        if not self._counted:
            message, newline, rest = data.partition(b"\n")
            return (message, rest) if newline else None
        count, space, rest = data.partition(b" ")
        return (rest[: int(count)], rest[int(count) :]) if space and len(rest) >= int(count) else None


class FluentdServer(StreamServer):
    """`lines` are (tag, time, record). With `refuse` it takes so many chunks and cuts instead of acknowledging."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None = None, refuse: int = 0) -> None:
        self.refuse = refuse
        self.refused: list[Any] = []
        super().__init__(address, tls)

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        for more in _received(connection):
            data += more
            try:
                tag, events, options = msgspec.msgpack.decode(data)
            except msgspec.DecodeError:
                continue  # a chunk that is not whole; who waits for an ack sends none behind it
            data = b""
            if self.refuse:
                self.refuse -= 1
                self.refused += events
                return
            self._take(*((tag, when, record) for when, record in events))
            if "chunk" in options:
                connection.sendall(msgspec.msgpack.encode({"ack": options["chunk"]}))
