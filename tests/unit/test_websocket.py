"""The frames of a websocket's client, well-formed and not, and who may open one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from wardian.errors import FORBIDDEN, INVALID, WardianError
from wardian.server.websocket import GOING_AWAY, Frames, accepted, check_origin, refused_version

OPENING = {
    "host": "localhost", "connection": "keep-alive, Upgrade", "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13",
}  # fmt: skip


def test_the_opening_of_the_rfc() -> None:
    """Its own example, section 1.3."""
    head = accepted(OPENING)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"Sec-WebSocket-Protocol" not in head
    assert b"Sec-WebSocket-Protocol: tty\r\n" in accepted({**OPENING, "sec-websocket-protocol": "tty"})
    assert b"Sec-WebSocket-Protocol" not in accepted({**OPENING, "sec-websocket-protocol": "a, b"})


@pytest.mark.parametrize(
    "changes",
    [
        {"sec-websocket-key": ""},
        {"sec-websocket-key": "c2hvcnQ="},
        {"sec-websocket-key": "dGhlIHNhbXBsZSBub25j%ZQ=="},
        {"upgrade": "tcp"},
        {"connection": "close"},
        {"host": "\xff"},
    ],
)
def test_what_is_no_opening(changes: dict[str, str]) -> None:
    with pytest.raises(WardianError) as refused:
        accepted({**OPENING, **changes})
    assert refused.value.kind == INVALID


def test_another_version_is_told_ours() -> None:
    assert refused_version(OPENING) is None
    answer = refused_version({**OPENING, "sec-websocket-version": "8"})
    assert answer is not None
    assert answer.status == 426
    assert ("Sec-WebSocket-Version", "13") in answer.headers


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "x"),
        ("http://localhost", "localhost"),
        ("http://LOCALHOST:80", "localhost"),
        ("https://h:2376", "h:2376"),
        ("https://h", "h:443"),
        ("http://[::1]:2376", "[::1]:2376"),
    ],
)
def test_pages_that_may(origin: str | None, host: str) -> None:
    check_origin({"host": host} if origin is None else {"host": host, "origin": origin})


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "localhost"),
        ("", "localhost"),
        ("http://evil.example", "localhost"),
        ("http://localhost:81", "localhost"),
        ("http://localhost.evil.example", "localhost"),
        ("file://localhost", "localhost"),
        ("http://localhost:x", "localhost"),
        ("http://", ""),
        ("http://[::1", "[::1]"),
    ],
)
def test_pages_that_may_not(origin: str, host: str) -> None:
    with pytest.raises(WardianError) as refused:
        check_origin({"host": host, "origin": origin})
    assert refused.value.kind == FORBIDDEN


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


MESSAGES = st.lists(st.one_of(st.binary(max_size=300), st.text(max_size=100)), max_size=6)


@given(MESSAGES, st.lists(st.integers(0, 2000), max_size=10))
def test_messages_arrive_however_they_are_cut(messages: list[bytes | str], cuts: list[int]) -> None:
    client, frames = Connection(ConnectionType.CLIENT), Frames(text=False)
    sent = b"".join(
        client.send(TextMessage(data=one) if isinstance(one, str) else BytesMessage(data=one)) for one in messages
    )
    got = b"".join(frames.receive(piece).content for piece in _pieces(sent, cuts))
    assert got == b"".join(one.encode() if isinstance(one, str) else one for one in messages)
    assert not frames.ended


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_break_it_and_no_more_comes_out_than_went_in(pieces: list[bytes]) -> None:
    frames = Frames(text=False)
    total = 0
    for piece in pieces:
        received = frames.receive(piece)
        total += len(received.content)
        assert len(received.pong) <= 127
        assert len(received.reply) <= 127
    assert total <= sum(map(len, pieces)) * 3  # a text's undecoded end is not even passed on
    if frames.ended:
        assert frames.receive(b"\x82\x80\0\0\0\0") == (b"", b"", b"")


def test_a_length_that_is_only_named_is_not_waited_for() -> None:
    """Eight exabytes are announced; what came of them is passed on, and nothing is kept."""
    frames = Frames(text=False)
    header = b"\x82\xff" + (1 << 62).to_bytes(8, "big") + b"\0\0\0\0"
    assert frames.receive(header + b"abc").content == b"abc"
    for _ in range(100):
        assert frames.receive(b"x" * 1000).content == b"x" * 1000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x82\x03abc", 1002),  # no mask
        (b"\xc2\x80\0\0\0\0", 1002),  # an extension that nobody asked for
        (b"\x83\x80\0\0\0\0", 1002),  # no such opcode
        (b"\x80\x80\0\0\0\0", 1002),  # the rest of nothing
        (b"\x09\x80\0\0\0\0", 1002),  # a ping in parts
        (b"\x89\xfe\x00\x7e\0\0\0\0", 1002),  # a ping of 126 bytes
        (b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0", 1002),  # a length with the sign bit
        (b"\x81\x81\0\0\0\0\xff", 1007),  # a text that is none
    ],
)
def test_what_breaks_the_protocol_ends_it_with_its_code(data: bytes, code: int) -> None:
    frames = Frames(text=False)
    received = frames.receive(data)
    assert frames.ended
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(received.reply)
    (event,) = client.events()
    assert isinstance(event, CloseConnection)
    assert event.code == code
    assert frames.message(b"more") == b""


def test_pings_and_closes_are_answered() -> None:
    client, frames = Connection(ConnectionType.CLIENT), Frames(text=False)
    received = frames.receive(client.send(Ping(payload=b"one")) + client.send(Ping(payload=b"two")))
    client.receive_data(received.pong)
    assert list(client.events()) == [Pong(payload=b"two")]  # the last: section 5.5.3
    client.receive_data(frames.receive(client.send(CloseConnection(code=1000))).reply)
    (event,) = client.events()
    assert isinstance(event, CloseConnection)
    assert event.code == 1000
    assert frames.ended
    assert frames.close() == b""


def test_our_close_is_said_once() -> None:
    client, frames = Connection(ConnectionType.CLIENT), Frames(text=False)
    client.receive_data(frames.close(GOING_AWAY, "why" * 100))
    (event,) = client.events()
    assert isinstance(event, CloseConnection)
    assert event.code == 1001
    assert frames.close() == b""
    received = frames.receive(client.send(event.response()))
    assert frames.ended
    assert received.reply == b""


@given(st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=10))
def test_text_is_text_wherever_output_is_cut(output: bytes, cuts: list[int]) -> None:
    client, frames = Connection(ConnectionType.CLIENT), Frames(text=True)
    for piece in _pieces(output, cuts):
        client.receive_data(frames.message(piece))
    said = "".join(event.data for event in client.events() if isinstance(event, TextMessage))
    assert output.decode("utf-8", "replace").startswith(said)
