"""HTTP/1.1 responses read from a raw socket: head, body framings (RFC 9112 section 6), and what they become.

Blocking, one connection, no threads. The limits are small because the peer is an engine on this machine, not the web.
"""

from __future__ import annotations

import _socket

from wardian.client import jsontext
from wardian.errors import STATUS, SYSTEM, UNAVAILABLE, WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_LIMIT = 65536
_READ_SIZE = 65536
_KINDS = {status: kind for kind, status in STATUS.items()}


class ApiError(WardianError):
    """An answer from 400 on: its status, and the engine's message as it stands."""

    def __init__(self, status: int, message: str, operation: str = "") -> None:
        super().__init__(_KINDS.get(status, SYSTEM), message, operation=operation)
        self.status = status


class Response:
    """A whole answer. `headers` has lower-case names; `body` is what was left after the framing."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> object:
        return jsontext.decode(self.body) if self.body.strip() else None

    def error(self, operation: str = "") -> ApiError:
        """The ApiError that this answer stands for: `{"message": …}`, or its text."""
        message = self.body.decode("utf-8", "replace").strip()
        try:
            value = jsontext.decode(message)
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            message = value["message"].strip()  # docker's CLI does so; some of the engine's words end in a space
        return ApiError(self.status, message or f"the engine answered {self.status}", operation)


class Hijacked:
    """A connection that is no longer HTTP: the socket, what was already read of it, and whether its output is framed.

    `multiplexed`: True for Docker's 8-byte framing, False for a terminal's raw bytes, None when the engine did not say
    (API before 1.42: the caller knows from `inspect`).
    """

    __slots__ = ("early", "multiplexed", "sock", "status")

    def __init__(self, sock: _socket.socket, early: bytes, multiplexed: bool | None, status: int) -> None:
        self.sock = sock
        self.early = early
        self.multiplexed = multiplexed
        self.status = status


class Connection:
    """A connected socket and the bytes read ahead of what was asked for."""

    __slots__ = ("_ahead", "sock")

    def __init__(self, sock: _socket.socket, ahead: bytes = b"") -> None:
        self.sock = sock
        self._ahead = ahead

    def close(self) -> None:
        self.sock.close()

    def is_idle(self) -> bool:
        """Whether the peer still listens as far as can be seen: it closed nothing, and said nothing unasked."""
        try:
            self.sock.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return not self._ahead
        except OSError:
            pass
        return False

    def take_ahead(self) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead

    def read_some(self, limit: int = _READ_SIZE) -> bytes:
        """At least one byte, at most `limit`; b"" at the end of the stream."""
        if self._ahead:
            piece, self._ahead = self._ahead[:limit], self._ahead[limit:]
            return piece
        return self.sock.recv(limit)

    def read_until(self, mark: bytes, limit: int, closed: str = "in the middle of an answer") -> bytes:
        """All up to and without `mark`. Raises ConnectionError when the peer closed before, ValueError past `limit`."""
        data = self._ahead
        while (at := data.find(mark)) < 0:
            if len(data) > limit:
                raise ValueError(f"the engine sent more than {limit} bytes where an HTTP head was due")
            piece = self.sock.recv(_READ_SIZE)
            if not piece:
                raise ConnectionResetError(f"the engine closed the connection {closed}")
            data += piece
        self._ahead = data[at + len(mark) :]
        return data[:at]

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next final (or 101) response; interim ones (100 Continue) are passed over."""
        while True:
            lines = self.read_until(b"\r\n\r\n", HEAD_LIMIT, "before its answer").decode("latin-1").split("\r\n")
            protocol, _, rest = lines[0].partition(" ")
            if not protocol.startswith("HTTP/1.") or not rest[:3].isdigit():
                raise ValueError(f"not an HTTP answer: {lines[0][:80]!r}")
            status = int(rest[:3])
            if status >= 200 or status == 101:
                break
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return status, headers

    def body(self, method: str, status: int, headers: dict[str, str]) -> Iterator[bytes]:
        """The pieces of a body, by whichever framing the head names."""
        if method == "HEAD" or status in (204, 304) or status < 200:
            return iter(())
        if headers.get("transfer-encoding", "").lower().endswith("chunked"):
            return self._chunked()
        if "content-length" in headers:
            return self._counted(int(headers["content-length"]))
        return self._to_the_end()

    def _counted(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self.read_some(min(left, _READ_SIZE))
            if not piece:
                raise ConnectionResetError("the engine closed the connection in the middle of an answer")
            left -= len(piece)
            yield piece

    def _chunked(self) -> Iterator[bytes]:
        while True:
            size = int(self.read_until(b"\r\n", 1024).partition(b";")[0], 16)
            if size == 0:
                while self.read_until(b"\r\n", HEAD_LIMIT):
                    pass  # trailer fields
                return
            yield from self._counted(size)
            self.read_until(b"\r\n", 2)

    def _to_the_end(self) -> Iterator[bytes]:
        while piece := self.read_some():
            yield piece


class Stream:
    """An answer whose body is read while it comes, on a connection of its own. Close it, or use it in a `with`."""

    def __init__(self, connection: Connection, method: str, status: int, headers: dict[str, str]) -> None:
        self._connection = connection
        self._body = connection.body(method, status, headers)
        self.status = status
        self.headers = headers

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._connection.sock.fileno()

    def close(self) -> None:
        self._connection.close()

    def chunks(self) -> Iterator[bytes]:
        """The body's pieces. Raises WardianError(UNAVAILABLE) when the engine goes away before its end."""
        try:
            yield from self._body
        except (OSError, ValueError) as error:
            raise WardianError(UNAVAILABLE, f"lost the engine: {error}", operation="read an answer") from error

    def read(self) -> bytes:
        return b"".join(self.chunks())

    def json(self) -> object:
        """The one JSON value of the whole body; waits for its end."""
        body = self.read()
        return jsontext.decode(body) if body.strip() else None

    def lines(self) -> Iterator[bytes]:
        """Lines without their end; a last line without an end counts."""
        rest = b""
        for piece in self.chunks():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.rstrip(b"\r")
        if rest:
            yield rest

    def objects(self) -> Iterator[object]:
        """One JSON value a line: events, progress."""
        for line in self.lines():
            if line.strip():
                yield jsontext.decode(line)
