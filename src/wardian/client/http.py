"""Requests to an engine: one kept-alive connection for short calls, one of its own for each stream.

The API version is asked for as the newest that we know; an engine that knows less says so (400, "client version 1.51
is too new. Maximum supported API version is 1.41") and is then asked again with what it named: the usual command needs
no ping.
"""

from __future__ import annotations

import _socket

from wardian.client import jsontext
from wardian.client.hosts import Target
from wardian.client.wire import Connection, Hijacked, Response, Stream
from wardian.errors import UNAVAILABLE, WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

API_VERSION = "1.51"
SAYS_FRAMING = 42  # the minor version from which a content type tells frames from a terminal's bytes
_REPEATABLE = ("GET", "HEAD")
_UNVERSIONED = ("/_ping", "/wardian/")
_TOO_NEW = "Maximum supported API version is "
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_PATH_SAFE = "/:@!$&'()*+,;="  # what a path holds as it is (RFC 3986 section 3.3)


def quote(text: str, safe: str = "") -> str:
    """Percent-encoding of RFC 3986: everything but unreserved characters and those of `safe`."""
    keep = _SAFE | frozenset(safe.encode())
    return "".join(chr(byte) if byte in keep else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def query_text(query: Mapping[str, object]) -> str:
    """`a=1&b=2`: True is 1, None and False are left out, a list repeats its key, a dict is JSON (as `filters` is)."""
    pairs = []
    for key, value in query.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is None or one is False:
                continue
            text = "1" if one is True else jsontext.encode(one).decode() if isinstance(one, dict) else str(one)
            pairs.append(f"{quote(key)}={quote(text)}")
    return "&".join(pairs)


class _Ask:
    """One request, before it is known to which version of the API it goes."""

    __slots__ = ("body", "headers", "is_upload", "method", "path", "query")

    def __init__(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
    ) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.query = query or {}
        self.headers = headers or {}
        self.is_upload = body is not None and not isinstance(body, dict | list | str | bytes)

    def encoded(self, version: str) -> bytes:
        """The head and, but for an upload, the body."""
        versioned = self.path if self.path.startswith(_UNVERSIONED) else f"/v{version}{self.path}"
        query = query_text(self.query)
        target = quote(versioned, _PATH_SAFE) + (f"?{query}" if query else "")
        lines = [f"{self.method} {target} HTTP/1.1", "Host: wardian", "User-Agent: wardian"]
        content = b""
        if self.is_upload:
            lines.append("Transfer-Encoding: chunked")
        elif self.body is not None:
            content = self.body if isinstance(self.body, bytes) else jsontext.encode(self.body)
            lines.append(f"Content-Length: {len(content)}")
            if not isinstance(self.body, bytes):
                lines.append("Content-Type: application/json")
        elif self.method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + content


class Client:
    """Speaks to the engine of one target. Not for use from several threads at once."""

    def __init__(self, target: Target, version: str = API_VERSION) -> None:
        self.target = target
        self.version = version
        self._idle: Connection | None = None

    def at_least(self, minor: int) -> bool:
        """Whether the engine speaks API 1.`minor`; what is true is known after the first answer."""
        return int(self.version.partition(".")[2]) >= minor

    def close(self) -> None:
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request, its whole answer. Raises WardianError(UNAVAILABLE) when there is no engine."""
        connection, status, answer_headers = self._exchange(_Ask(method, path, body, query, headers), reuse=True)
        try:
            content = b"".join(connection.body(method, status, answer_headers))
        except (OSError, ValueError) as error:
            connection.close()
            raise self._lost(error) from error
        if answer_headers.get("connection", "").lower() == "close" or self._idle is not None:
            connection.close()
        else:
            self._idle = connection
        return Response(status, answer_headers, content)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> object:
        """The decoded JSON answer, None when it has none. Raises ApiError from status 400 on."""
        response = self.request(method, path, body, query, headers)
        if response.status >= 400:
            raise response.error(f"{method} {path}")
        return response.json() if "json" in response.headers.get("content-type", "") else None

    def stream(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Stream:
        """The answer's head is read, its body is yours. Raises ApiError from status 400 on."""
        connection, status, answer_headers = self._exchange(_Ask(method, path, body, query, headers), reuse=False)
        stream = Stream(connection, method, status, answer_headers)
        if status >= 400:
            with stream:
                raise Response(status, answer_headers, stream.read()).error(f"{method} {path}")
        return stream

    def hijack(
        self, method: str, path: str, body: object = None, query: Mapping[str, object] | None = None
    ) -> Hijacked:
        """Asks for the raw connection (`Upgrade: tcp`). Raises ApiError when the engine refuses."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        connection, status, answer_headers = self._exchange(_Ask(method, path, body, query, headers), reuse=False)
        if status not in (101, 200):
            with Stream(connection, method, status, answer_headers) as stream:
                raise Response(status, answer_headers, stream.read()).error(f"{method} {path}")
        kind = answer_headers.get("content-type", "")
        multiplexed = {
            "application/vnd.docker.multiplexed-stream": True,
            # Before API 1.42 both kinds were called raw: the engine then did not say.
            "application/vnd.docker.raw-stream": False if self.at_least(SAYS_FRAMING) else None,
        }.get(kind)
        return Hijacked(connection.sock, connection.take_ahead(), multiplexed, status)

    def dial(self) -> _socket.socket:
        """A connection on which nothing was said yet; the caller owns it. Raises WardianError(UNAVAILABLE)."""
        return self._connect()

    def _exchange(self, ask: _Ask, reuse: bool) -> tuple[Connection, int, dict[str, str]]:
        while True:
            connection, status, answer = self._send_and_read_head(ask, reuse)
            if status != 400:
                return connection, status, answer
            try:
                content = b"".join(connection.body(ask.method, status, answer))
            except (OSError, ValueError) as error:
                connection.close()
                raise self._lost(error) from error
            known = _maximum_version(content)
            if known and known != self.version and not ask.is_upload:
                connection.close()
                self.version = known
                continue
            # Give the caller the body that was read to look at.
            return (
                Connection(connection.sock, content),
                status,
                {**_without_framing(answer), "content-length": str(len(content))},
            )

    def _send_and_read_head(self, ask: _Ask, reuse: bool) -> tuple[Connection, int, dict[str, str]]:
        kept = self._idle if reuse else None
        if kept is not None:
            self._idle = None
            if kept.is_idle():
                try:
                    return self._converse(kept, ask)
                except ConnectionError as error:
                    # The engine ended, or closed the connection just now. Whether it saw the request is not known:
                    # only what may be done twice is sent once more.
                    if ask.method not in _REPEATABLE:
                        kept.close()
                        raise self._lost(error) from error
            kept.close()
        connection = Connection(self._connect())
        try:
            return self._converse(connection, ask)
        except (OSError, ValueError) as error:
            connection.close()
            raise self._lost(error) from error

    def _converse(self, connection: Connection, ask: _Ask) -> tuple[Connection, int, dict[str, str]]:
        try:
            connection.sock.sendall(ask.encoded(self.version))
            if ask.is_upload:
                _send_chunked(connection.sock, ask.body)  # type: ignore[arg-type]
        except BrokenPipeError:
            pass  # an engine that refuses an upload answers before it has read it all: the answer says why
        status, answer = connection.read_head()
        return connection, status, answer

    def _connect(self) -> _socket.socket:
        try:
            return self.target.connect()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if self.target.home is None:
                raise self._unreachable(error) from error
            from wardian.client.start import start_engine

            start_engine(self.target.home)
            return self.target.connect()
        except OSError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: OSError) -> WardianError:
        denied = isinstance(error, PermissionError) and bool(self.target.socket)
        return WardianError(
            UNAVAILABLE,
            f"cannot connect to the engine at {self.target}: {error.strerror or error}",
            operation="connect",
            subject=str(self.target),
            errno=error.errno or 0,
            hint="the socket belongs to root and group wardian" if denied else "is it running?",
        )

    def _lost(self, error: Exception) -> WardianError:
        return WardianError(
            UNAVAILABLE,
            f"lost the engine at {self.target}: {error}",
            operation="request",
            subject=str(self.target),
            errno=getattr(error, "errno", 0) or 0,
            hint=self.target.trouble,
        )


def _send_chunked(sock: _socket.socket, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        if piece:
            sock.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
    sock.sendall(b"0\r\n\r\n")


def _maximum_version(content: bytes) -> str:
    """The version that an older engine says it knows, from its refusal; empty when it is another error."""
    _, found, rest = content.decode("utf-8", "replace").partition(_TOO_NEW)
    version = rest.split('"')[0].strip().rstrip(".") if found else ""
    return version if version.replace(".", "", 1).isdigit() and "." in version else ""


def _without_framing(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("transfer-encoding", "content-length")}
