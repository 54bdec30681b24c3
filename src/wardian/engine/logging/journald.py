"""The journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram for an entry.

NAME=value\\n                                    a value without line feeds
NAME\\n  length: 8 bytes, little-endian  value\\n  any other
"""

import asyncio
import re
import socket
import struct
from collections.abc import Iterable, Mapping

from wardian.engine.logging.followers import FIRST_PAUSE, Line

_LENGTH = struct.Struct("<Q")
_PRIORITY = {"stdout": b"6", "stderr": b"3"}  # syslog's info and err
_FOREIGN = re.compile(r"[^A-Z0-9_]")


def encode(fields: Iterable[tuple[str, bytes]]) -> bytes:
    parts = []
    for name, value in fields:
        if b"\n" in value:
            parts.append(b"%b\n%b%b\n" % (name.encode(), _LENGTH.pack(len(value)), value))
        else:
            parts.append(b"%b=%b\n" % (name.encode(), value))
    return b"".join(parts)


def field_name(text: str) -> str:
    """A label's or variable's name as the journal takes it: capitals, digits and underscores, none of them first."""
    return _FOREIGN.sub("_", text.upper()).lstrip("_0123456789")


class Journal:
    """`fields`: the container's own, in every entry."""

    pause = FIRST_PAUSE

    def __init__(self, path: str, fields: Mapping[str, str]) -> None:
        self._path = path
        self._fields = [(name, value.encode()) for name, value in fields.items() if name]
        self._partial = fields["CONTAINER_ID"] + "-"
        self._socket: socket.socket | None = None

    async def send(self, lines: list[Line]) -> None:
        if self._socket is None:
            self._socket = await asyncio.to_thread(_connected, self._path)
        loop = asyncio.get_running_loop()
        try:
            for line in lines:
                await loop.sock_sendall(self._socket, encode(self._entry(line)))
        except OSError:
            self.close()
            raise

    def _entry(self, line: Line) -> Iterable[tuple[str, bytes]]:
        yield from self._fields
        yield "PRIORITY", _PRIORITY.get(line.stream, b"6")
        yield "SYSLOG_TIMESTAMP", b"%d.%09dZ" % divmod(line.time, 1_000_000_000)
        if line.part:
            yield "CONTAINER_PARTIAL_MESSAGE", b"true"
            yield "CONTAINER_PARTIAL_ID", f"{self._partial}{line.time}".encode()
            yield "CONTAINER_PARTIAL_ORDINAL", b"%d" % line.part
            yield "CONTAINER_PARTIAL_LAST", b"true" if line.last else b"false"
        yield "MESSAGE", line.text

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return made
