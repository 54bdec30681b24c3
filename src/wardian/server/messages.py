"""What a handler takes and gives back: a request with its caller, and the shapes of an answer."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from wardian.errors import INVALID, WardianError
from wardian.server import shapes, versions
from wardian.server.query import Query

if TYPE_CHECKING:
    import asyncio

    from wardian.engine import Engine
    from wardian.server.body import Body
    from wardian.server.callers import Caller
    from wardian.server.metrics import Times
    from wardian.server.routes import Route

JSON = "application/json"
RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
# more than any kernel takes as arguments and environment (execve(2)); Docker has no limit, and its memory none
JSON_BODY_LIMIT = 16 << 20
# what is worth saying of an operation that has no body to say it in
NOTE_HEADER = "Wardian-Note"


def _replacement(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("wardian-each-byte", _replacement)


def decode_json(content: bytes) -> Any:
    """JSON as Go takes it: each byte that is no UTF-8 is U+FFFD. Raises msgspec.DecodeError for what is no JSON."""
    try:
        return msgspec.json.decode(content)
    except UnicodeDecodeError:
        return msgspec.json.decode(content.decode("utf-8", "wardian-each-byte"))


class Request(NamedTuple):
    """One operation as a handler sees it. `headers` has lower-case names; `version` is the API version asked for."""

    engine: Engine
    route: Route
    parameters: Mapping[str, str]
    query: Query
    headers: Mapping[str, str]
    version: tuple[int, int]
    caller: Caller
    body: Body
    shut_down: Callable[[], None]
    times: Times

    async def json(self) -> dict[str, Any] | None:
        """The decoded body, an object in the shape of its operation; None when there is none, or null. Raises
        WardianError for one that is too long, no JSON, or of other types."""
        content = await self.body.read(JSON_BODY_LIMIT)
        if not content.strip():
            return None
        _check_type(self.headers.get("content-type", ""))
        try:
            value = decode_json(content)
        except RecursionError:
            raise WardianError(INVALID, "invalid JSON: exceeded max depth", operation="decode") from None
        conformed: dict[str, Any] | None = versions.adapt_request(
            self.route, self.version, shapes.conform(self.route.handler, value)
        )
        return conformed

    async def json_object(self) -> dict[str, Any]:
        """The same, {} when there is none."""
        return await self.json() or {}


def _check_type(said: str) -> None:
    """In docker's words. What says that it is text, a page of another site may send by a browser that has a client's
    certificate, and nobody asks us before (https://fetch.spec.whatwg.org/#cors-safelisted-request-header)."""
    if said.partition(";")[0].strip().lower() != JSON:
        message = f"unsupported Content-Type header ({said}): must be '{JSON}'"
        raise WardianError(INVALID, message, operation="decode", subject="Content-Type")


class Answer(NamedTuple):
    """A whole response: `content` as it is, or `value` as JSON once it fits the API version that was asked for."""

    status: int
    content: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    value: object = None

    def encoded(self, route: Route, version: tuple[int, int]) -> Answer:
        if self.content_type != JSON or self.content:
            return self
        # Docker ends each JSON body with a line feed; people read them with curl.
        return self._replace(content=msgspec.json.encode(versions.adapt_answer(route, version, self.value)) + b"\n")


class Streamed(NamedTuple):
    """A response that comes in pieces. `eager`: its head goes out at once; otherwise with the first piece, and an error
    before that piece is an ordinary error answer. `patience`: seconds for which the client may read nothing before it
    counts as gone, where what is read keeps something from others; 0 for ever."""

    pieces: AsyncIterator[bytes]
    content_type: str = JSON
    eager: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    patience: float = 0.0


class Handover(NamedTuple):
    """The raw socket goes to `take(fd, early)`, which owns `fd` from the call on.

    `speaks`: output may come as soon as it is taken, so the client reads the head first. Not for a container that has
    not begun: the client starts it when it has seen the head, and must be attached by then.
    """

    take: Callable[[int, bytes], Awaitable[None]]
    content_type: str
    speaks: bool = True


class Upgraded(NamedTuple):
    """The connection speaks another protocol from here on, still in this process. `head` is the whole answer;
    `talk(transport, early)` sets a protocol of its own on the transport, and returns when it is over. `early`: what the
    client had sent behind its request."""

    head: bytes
    talk: Callable[[asyncio.Transport, bytes], Awaitable[None]]


Reply = Answer | Streamed | Handover | Upgraded
Handler = Callable[[Request], Awaitable[Reply]]


def json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status, content_type=JSON, value=value)


NO_CONTENT = Answer(204)


def json_line(value: object) -> bytes:
    """One message of a JSON stream (progress, events); Docker ends them with CR LF."""
    return msgspec.json.encode(value) + b"\r\n"
