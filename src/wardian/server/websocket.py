"""Websockets (RFC 6455): the opening handshake, who may open one, and what a side's bytes say. No I/O.

wsproto reads and writes the frames. A message's payload is passed on as it comes, so that no length a client names is
ever waited or reserved for; a frame without a mask, a control frame over 125 bytes and whatever else the RFC forbids
end the connection with the code that it gives them.
"""

import base64
import binascii
import codecs
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.events import Request as Opening
from wsproto.frame_protocol import CloseReason
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError

from wardian.errors import FORBIDDEN, INVALID, WardianError
from wardian.server.messages import Answer, json_answer

_VERSION = "13"
_KEY_BYTES = 16
_PORTS = {"http": 80, "https": 443}
_OPENING = frozenset((
    "host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
))  # fmt: skip
NORMAL, GOING_AWAY, FAILED = CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY, CloseReason.INTERNAL_ERROR


def refused_version(headers: Mapping[str, str]) -> Answer | None:
    """The answer to a client that speaks another version (RFC 6455 section 4.4); None where it is ours."""
    if headers.get("sec-websocket-version", _VERSION) == _VERSION:
        return None
    told = json_answer({"message": f"websocket: version {_VERSION} is spoken here"}, 426)
    return told._replace(headers=(("Sec-WebSocket-Version", _VERSION), ("Upgrade", "websocket")))


def check_origin(headers: Mapping[str, str]) -> None:
    """A browser says which site's page opens the websocket, and asks nobody before: a page of another site than the
    engine's own address must not. Programs that are no browser need not say it. Raises WardianError(FORBIDDEN)."""
    origin = headers.get("origin")
    if origin is None:
        return
    if not _same_site(origin, headers.get("host", "")):
        raise WardianError(
            FORBIDDEN, f"a page of {origin} may not attach", operation="attach", subject=origin,
            hint="a websocket is opened only for pages of the host that the request names",
        )  # fmt: skip


def _same_site(origin: str, host: str) -> bool:
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{host}")
        default = _PORTS[page.scheme]
        same = page.hostname == asked.hostname and (page.port or default) == (asked.port or default)
    except (KeyError, ValueError):
        return False
    return same and bool(page.hostname)


def accepted(headers: Mapping[str, str]) -> bytes:
    """The head of the answer that opens one: section 4.2. One subprotocol that is asked for is granted, as Docker does:
    browsers insist. Raises WardianError(INVALID) when it is no request for a websocket."""
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise _no_websocket("Sec-WebSocket-Key is not 16 bytes in base64")
    opening = [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if name in _OPENING]
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.initiate_upgrade_connection(opening, b"/")
    except (ProtocolError, ValueError) as error:  # a Host that is no name is a UnicodeError
        raise _no_websocket(str(error)) from None
    (asked,) = handshake.events()
    assert isinstance(asked, Opening)
    granted = asked.subprotocols[0] if len(asked.subprotocols) == 1 else None
    try:
        return handshake.send(AcceptConnection(subprotocol=granted))
    except (ProtocolError, ValueError) as error:
        raise _no_websocket(str(error)) from None


def _no_websocket(why: str) -> WardianError:
    return WardianError(INVALID, f"bad websocket handshake: {why}", operation="attach")


class Received(NamedTuple):
    """What some of a client's bytes came to: `content` of its messages, `pong` to answer its last ping with, `reply` to
    answer its end with. Only the last of several pings needs an answer (section 5.5.3)."""

    content: bytes = b""
    pong: bytes = b""
    reply: bytes = b""


class Frames:
    """The frames of one open connection, the server's side. `text`: messages of text and not of bytes."""

    def __init__(self, text: bool) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if text else None
        self.ended = False  # the client says no more: it has closed, or broken the protocol

    def receive(self, data: bytes) -> Received:
        if self.ended:
            return Received()
        self._connection.receive_data(data)
        content, pong, reply = bytearray(), b"", b""
        for event in self._connection.events():
            if isinstance(event, BytesMessage):
                content += event.data
            elif isinstance(event, TextMessage):
                content += event.data.encode()
            elif isinstance(event, Ping):
                pong = self._say(event.response())
            elif isinstance(event, CloseConnection):
                self.ended = True
                reply = self._answer_close(event)
        return Received(bytes(content), pong, reply)

    def message(self, data: bytes) -> bytes:
        if self._decoder is None:
            return self._say(BytesMessage(data=data))
        return self._say(TextMessage(data=self._decoder.decode(data)))

    def close(self, code: int = NORMAL, why: str = "") -> bytes:
        return self._say(CloseConnection(code=code, reason=why or None))

    def _answer_close(self, event: CloseConnection) -> bytes:
        """wsproto shows a broken protocol as a close too, of which the client does not know yet."""
        own = self._connection.state is ConnectionState.OPEN
        return self._say(event if own else event.response())

    def _say(self, event: Event) -> bytes:
        state = self._connection.state
        closing = isinstance(event, CloseConnection) and state is ConnectionState.REMOTE_CLOSING
        return self._connection.send(event) if closing or state is ConnectionState.OPEN else b""
