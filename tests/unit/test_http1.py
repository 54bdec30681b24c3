"""A client's bytes as requests, answers as bytes: however they are cut, beside what h11 makes of them, and bounded."""

import random
from collections.abc import Iterable, Iterator

import h11
import pytest
from httptools import HttpRequestParser

from wardian.server import chunks
from wardian.server.heads import HEAD_LIMIT, Head, Refused, encode_fields, read_head
from wardian.server.http1 import CONTINUE, END, LEFT, Http1

PLAIN = b"GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n"
DOCKER = (
    b"POST /v1.51/containers/x/exec?a=b%20c HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.0\r\n"
    b"Content-Length: 11\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
)
CHUNKED = b"POST /load HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"POST /exec/x/start HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
BODY = b'{"Cmd":"a"}'


def chunked(*pieces: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


TRICKY = (b"abc", b"\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\n\r\n\r\n", b"x" * 70, b"\r")
STREAMS = {
    "plain": PLAIN,
    "two": PLAIN + PLAIN,
    "body": DOCKER + BODY + PLAIN,
    "no body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" + PLAIN,
    "chunks": CHUNKED + chunked(*TRICKY) + PLAIN,
    "chunks with extensions": CHUNKED + b"3;a=b\r\nabc\r\n0;c\r\n\r\n" + PLAIN,
    "trailers": CHUNKED + chunked(*TRICKY, trailer=b"Sum: a\r\nOther: b\r\n") + CHUNKED + chunked(b"x"),
    "no chunks": CHUNKED + chunked() + PLAIN,
    "upgrade": UPGRADE + b"\r\nearly\r\n\r\nbytes",
    "upgrade with a body": UPGRADE + b"Content-Length: 11\r\n\r\n" + BODY + b"early",
    "upgrade with chunks": UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*TRICKY) + b"0\r\n\r\nearly",
    "old": b"GET / HTTP/1.0\r\n\r\n",
    "old with a body": b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab",
    "last": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
}  # fmt: skip


Requests = list[tuple[Head, bytes, bytes]]


def requests_of(pieces: Iterable[bytes], found: Requests | None = None) -> Requests:
    """Each request with its body, and what waits behind it when its answer must come first (an upgrade)."""
    http, found = Http1(), [] if found is None else found
    body = b""
    head: Head | None = None
    for piece in pieces:
        http.receive(piece)
        while (event := http.next_event()) is not None:
            if isinstance(event, Head):
                head, body = event, b""
            elif isinstance(event, bytes):
                assert event
                body += event
            else:
                assert event is END and head is not None
                found.append((head, body, b""))
                if not http.offers_upgrade:
                    http.answer(200, b"", b"")
                    http.next_request()
    if found:
        found[-1] = (*found[-1][:2], http.take_waiting() if http.offers_upgrade else b"")
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_every_cut_gives_the_same(name: str) -> None:
    stream = STREAMS[name]
    whole = requests_of([stream])
    assert whole
    for at in range(1, len(stream)):
        assert requests_of([stream[:at], stream[at:]]) == whole, at
    for size in (1, 2, 3, 5):
        assert requests_of(stream[at : at + size] for at in range(0, len(stream), size)) == whole, size


def test_what_a_stream_comes_to() -> None:
    first, second = requests_of([STREAMS["chunks"]])
    assert (first[0].method, first[0].target, first[1]) == ("POST", "/load", b"".join(TRICKY))
    assert second[0] == Head("GET", "/_ping", {"host": "a"}, True)
    ((head, body, _), _) = requests_of([STREAMS["body"]])
    assert (head.method, head.target, body) == ("POST", "/v1.51/containers/x/exec?a=b%20c", BODY)
    assert head.fields["content-type"] == "application/json"
    for name, early in (("upgrade", b"early\r\n\r\nbytes"), ("upgrade with chunks", b"0\r\n\r\nearly")):
        assert requests_of([STREAMS[name]])[0][2] == early
    assert requests_of([STREAMS["upgrade with a body"]])[0][1:] == (BODY, b"early")


# Beside h11.


def by_h11(stream: bytes) -> tuple[str, str, dict[str, str], bytes, bytes] | int:
    """The first request: method, target, fields, body, what is behind; or the status it is refused with."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
    connection.receive_data(stream)
    connection.receive_data(b"")
    body = b""
    try:
        head = connection.next_event()
        if not isinstance(head, h11.Request):
            return 0
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data)
            body += event.data
    except h11.RemoteProtocolError as error:
        return error.error_status_hint
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return head.method.decode(), head.target.decode(), fields, body, connection.trailing_data[0]


def by_us(stream: bytes) -> tuple[str, str, dict[str, str], bytes, bytes] | int:
    http = Http1()
    http.receive(stream)
    http.receive_end()
    body = b""
    try:
        head = http.next_event()
        if not isinstance(head, Head):
            return 0
        while (event := http.next_event()) is not END:
            assert isinstance(event, bytes)
            body += event
    except Refused as error:
        return error.status
    return head.method, head.target, head.fields, body, http.take_waiting()


def with_fields(*lines: bytes, start: bytes = b"POST /a HTTP/1.1", host: bytes = b"Host: a\r\n") -> bytes:
    return start + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


SAME = [
    *STREAMS.values(),
    with_fields(start=b"FOO /a HTTP/1.1"),  # methods are the router's matter
    with_fields(start=b"get /a HTTP/1.1"),
    with_fields(start=b"M-SEARCH /a HTTP/1.1"),
    with_fields(start=b"OPTIONS * HTTP/1.1"),
    with_fields(start=b'GET /"<>\\^`{|}#x HTTP/1.1'),
    with_fields(start=b"GET / HTTP/1.0", host=b""),
    with_fields(b"A: \xc3\xa9  \t", b"B:", b"C: \t", b"D:e,f", b"D: g"),
    with_fields(b"Content-Length: 003") + b"abc",
    with_fields(b"Content-Length: 3 ") + b"abc",
    with_fields(b"Upgrade:", b"Connection: close, upgrade"),
    # refused by both
    b"nonsense\r\n\r\n",
    b"\r\n" + PLAIN,
    b"\n" + PLAIN,
    b" " + PLAIN,
    b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    with_fields(start=b"GET /"),
    with_fields(start=b"GET  / HTTP/1.1"),
    with_fields(start=b"GET /  HTTP/1.1"),
    with_fields(start=b"GET / HTTP/1.1 "),
    with_fields(start=b"GET /\xff HTTP/1.1"),
    with_fields(start=b"GET /\x7f HTTP/1.1"),
    with_fields(start=b"GET / http/1.1"),
    with_fields(start=b"GET / RTSP/1.0"),
    with_fields(start=b"SOURCE / ICE/1.0"),
    with_fields(start=b"GET / HTTP/1.10"),
    with_fields(host=b""),
    with_fields(b"Host: b"),
    with_fields(b"host: a"),
    with_fields(b"A : b"),
    with_fields(b": b"),
    with_fields(b"A"),
    with_fields(b"a@b: c"),
    with_fields(b"A: b\0c"),
    with_fields(b"A: b\rc: d"),
    with_fields(b"A: \x0bb"),
    with_fields(b"Content-Length: -1"),
    with_fields(b"Content-Length: +1"),
    with_fields(b"Content-Length: 1_0"),
    with_fields(b"Content-Length: 1 0"),
    with_fields(b"Content-Length: 0x1"),
    with_fields(b"Content-Length:"),
    with_fields(b"Content-Length: 1", b"Content-Length: 2"),
    with_fields(b"Content-Length: 1, 2"),
    with_fields(b"Content-Length: 4") + b"abc",
    with_fields(b"Transfer-Encoding: gzip"),
    with_fields(b"Transfer-Encoding: gzip, chunked"),
    with_fields(b"Transfer-Encoding: chunked, gzip"),
    with_fields(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    with_fields(b"Transfer-Encoding: identity"),
    CHUNKED + b"3\r\nab",
    CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    CHUNKED + b"zz\r\n",
    CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    CHUNKED + b"\r\n0\r\n\r\n",
    CHUNKED + b"0\r\n: a\r\n\r\n",
    CHUNKED + b"f" * 21 + b"\r\n",
]  # fmt: skip


@pytest.mark.parametrize("stream", SAME)
def test_as_h11_sees_it(stream: bytes) -> None:
    assert by_us(stream) == by_h11(stream)


STRICTER = [
    (with_fields(b"A: b", b" c"), 400),  # a folded line: RFC 9112 section 5.2
    (with_fields(b"A:", b" c"), 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),  # a line feed alone
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    (with_fields(start=b"CONNECT a:80 HTTP/1.1"), 400),
    (with_fields(b"A: b\x01c"), 400),
    (with_fields(b"A: b\x7fc"), 400),
    (with_fields(b"Content-Length: 3", b"Content-Length: 3") + b"abc", 400),
    (with_fields(b"Content-Length: 3, 3") + b"abc", 400),
    (with_fields(b"Content-Length: 3", b"Transfer-Encoding: chunked") + chunked(b"a"), 400),
    (with_fields(b"Transfer-Encoding: chunked", b"Content-Length: 3") + chunked(b"a"), 400),
    (with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + chunked(b"a"), 400),
    (with_fields(start=b"GET / HTTP/2.0"), 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (with_fields(start=b"GET / HTTP/0.9"), 505),
    (with_fields(start=b"GET / HTTP/1.2"), 505),
    (CHUNKED + b"1 \r\na\r\n0\r\n\r\n", 400),
    (CHUNKED + b"1;\r\na\r\n0\r\n\r\n", 400),
    (CHUNKED + b"0\r\nA: b\nC: d\r\n\r\n", 400),
    (CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", 400),
    (CHUNKED + b"0\n\r\n", 400),
    (b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
]  # fmt: skip


@pytest.mark.parametrize(("stream", "status"), STRICTER)
def test_more_is_refused_than_by_h11(stream: bytes, status: int) -> None:
    assert by_us(stream) == status


def mutants(streams: list[bytes], count: int) -> Iterator[bytes]:
    rng = random.Random(9112)
    parts = [b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"\t", b":", b"0", b"1", b";", b",", b"\0", b"\x80", b"chunked",
             b"Host: b\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1",
             b"\x0b"]  # fmt: skip
    for _ in range(count):
        made = bytearray(rng.choice(streams))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(made) + 1)
            made[at : at + rng.choice((0, 0, 1, 2, 9))] = rng.choice(parts)
        yield bytes(made)


def test_nothing_is_taken_that_h11_refuses() -> None:
    """Nor taken for something else: where one ends a request and another goes on, requests are smuggled."""
    taken = 0
    for stream in mutants([stream for stream in STREAMS.values() if b"\r\nUpgrade: tcp" not in stream], 6000):
        ours = by_us(stream)
        if not isinstance(ours, int):
            theirs = by_h11(stream)
            assert not isinstance(theirs, int), stream
            ours[2].update({name: theirs[2][name] for name in ("connection",) if name in theirs[2]})
            assert ours == theirs, stream
            taken += 1
    assert taken > 500


def test_broken_chunks_are_seen_however_they_are_cut() -> None:
    def outcome(pieces: Iterable[bytes]) -> tuple[Requests, bool]:
        found: Requests = []
        try:
            requests_of(pieces, found)
        except Refused:
            return found, True
        return found, False

    rng = random.Random(7230)
    for stream in mutants([CHUNKED + chunked(*TRICKY, trailer=b"Sum: a\r\n") + PLAIN], 1000):
        whole = outcome([stream])
        assert outcome(stream[at : at + 1] for at in range(len(stream))) == whole, stream
        at = rng.randrange(len(stream))
        assert outcome([stream[:at], stream[at:]]) == whole, (stream, at)


# Targets, and what else Docker takes or refuses.


@pytest.mark.parametrize(("written", "target"), [
    ("http://host/_ping", "/_ping"),
    ("HTTP://a@host:80/v1.51/version?a=b", "/v1.51/version?a=b"),
    ("http://[::1]:2375/_ping", "/_ping"),
    ("http://host:/_ping", "/_ping"),
    ("unix://host/_ping", "/_ping"),
    ("http:///_ping", "/_ping"),
    ("http://host", "/"),
    ("http://host?a=b", "/?a=b"),
    ("//host/_ping", "//host/_ping"),
    ("/a?b=http://c/", "/a?b=http://c/"),
    ("*", "*"),
])  # fmt: skip
def test_targets(written: str, target: str) -> None:
    assert read_head(f"GET {written} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).target == target


@pytest.mark.parametrize("target", [
    "_ping", "a:80", "mailto:x", "http:/_ping", "http://a%zz/", "http://a:b/", "http://a:80b/", "http://[::1/",
    "1http://a/", "://a/", "**", "/containers/%zz/json", "/a%", "/a%4?b", "/%g0", "http://a/%2",
])  # fmt: skip
def test_no_targets(target: str) -> None:
    assert by_us(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()) == 400


def test_the_query_is_its_readers_matter() -> None:
    assert read_head(b"GET /_ping?x=%zz HTTP/1.1\r\nHost: a\r\n\r\n").target == "/_ping?x=%zz"


@pytest.mark.parametrize(("expectation", "status"), [("foo", 417), ("foo, 100-continue", 0), ("", 0)])
def test_expectations(expectation: str, status: int) -> None:
    for version in (b"1.0", b"1.1"):
        stream = with_fields(b"Expect: " + expectation.encode(), start=b"GET / HTTP/" + version)
        assert (by_us(stream) if status else int(isinstance(by_us(stream), int))) == status


def test_a_long_head() -> None:
    long = b"a" * (HEAD_LIMIT - len(with_fields(b"A: ")))
    http = asked(with_fields(b"A: " + long))
    http.answer(200, b"", b"")
    assert http.next_request()
    assert by_us(with_fields(b"A: a" + long)) == 431


# Bounds.


def refused(http: Http1) -> Refused:
    with pytest.raises(Refused) as caught:
        while http.next_event() is not None:
            pass
    return caught.value


@pytest.mark.parametrize("piece", [b"A: b\r\n" * 20, b"x" * 100, b"y: " + b"z" * 4000 + b"\r\n"])
def test_a_head_without_an_end(piece: bytes) -> None:
    http = Http1()
    http.receive(b"GET / HTTP/1.1\r\n")
    for _ in range(HEAD_LIMIT // len(piece) - 16):
        assert http.next_event() is None
        http.receive(piece)
    http.receive(piece * (20 + 64 // len(piece)))
    assert refused(http).status == 431
    http.receive(piece)
    assert http.next_event() is None
    assert http.take_waiting() == b""  # what comes after that is not kept


def test_what_never_becomes_a_head_is_refused_at_once() -> None:
    for data in (b"\x16", b"\r", b"\n", b" ", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: a\n"):
        http = Http1()
        for at in range(len(data) - 1):
            http.receive(data[at : at + 1])
            assert http.next_event() is None
        http.receive(data[-1:])
        assert refused(http).status == 400


@pytest.mark.parametrize("begin", [b"1;a=", b"0\r\nA: ", b"0\r\n"])
def test_extensions_and_trailers_without_an_end(begin: bytes) -> None:
    piece = b"b: c\r\n" * 100 if begin == b"0\r\n" else b"b" * 600
    http = Http1()
    http.receive(CHUNKED + begin)
    assert isinstance(http.next_event(), Head)
    for _ in range((64 << 10) // len(piece)):
        http.receive(piece)
        assert http.next_event() is None
    http.receive(piece)
    assert refused(http).status == 431


def test_many_small_chunks_are_one_piece() -> None:
    http = Http1()
    http.receive(CHUNKED + b"1\r\nx\r\n" * 40_000)
    assert isinstance(http.next_event(), Head)
    assert http.next_event() == b"x" * 40_000
    assert http.next_event() is None
    http.receive(b"0\r\n\r\n" + PLAIN)
    assert http.next_event() is END
    assert (http.next_event(), http.waiting) == (None, len(PLAIN))


class Counted(HttpRequestParser):
    """llhttp, and how often it was called for the bytes that are looked at."""

    calls = 0

    def feed_data(self, data: bytes | memoryview) -> None:
        Counted.calls += 1
        super().feed_data(data)


@pytest.mark.parametrize(
    "body",
    [
        b"%x\r\n" % (256 << 10) + b"\r\n" * (128 << 10) + b"\r\n",
        b"5\r\n0\r\n\r\n\r\n" * 20_000,
        b"1\r\n\r\r\n" * 40_000,
        b"1;a=b\r\nx\r\n" * 20_000,
    ],
    ids=["empty lines", "ends", "small chunks", "extensions"],
)
def test_no_content_costs_more_calls(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """One for what came at once, whatever it is: who uploads empty lines would have the engine's loop for itself."""
    monkeypatch.setattr(chunks, "HttpRequestParser", Counted)
    http = Http1()
    http.receive(CHUNKED)
    assert isinstance(http.next_event(), Head)
    for received in (body[:-1], body[-1:] + b"0\r\n\r\n" + PLAIN):
        http.receive(received)
        Counted.calls = 0
        while http.next_event() not in (None, END):
            pass
        assert Counted.calls == 1
    assert http.take_waiting() == PLAIN


def test_an_end_that_only_one_of_two_sees() -> None:
    """Where llhttp ends a body, and where its sizes say: a request must not begin between the two."""
    read = chunks.Chunks()
    read._frames._missing = 5  # as if they had come to differ
    with pytest.raises(Refused, match="no clear end"):
        read.feed(b"0\r\n\r\n")


# The ends of both sides.


def test_the_next_request_waits_for_the_answer() -> None:
    http = Http1()
    http.receive(DOCKER + BODY + PLAIN + PLAIN)
    assert isinstance(http.next_event(), Head)
    assert (http.next_event(), http.next_event(), http.next_event()) == (BODY, END, None)
    assert http.waiting == 2 * len(PLAIN)
    assert not http.next_request()
    http.answer(200, b"", b"")
    assert http.next_request()
    http.receive_end()
    assert isinstance(http.next_event(), Head)
    assert (http.next_event(), http.next_event()) == (END, None)  # one more waits
    http.answer(200, b"", b"")
    assert http.next_request()
    assert isinstance(http.next_event(), Head)
    assert (http.next_event(), http.next_event(), http.next_event()) == (END, LEFT, LEFT)


def test_a_client_that_ends() -> None:
    http = Http1()
    http.receive_end()
    assert http.next_event() is LEFT
    for cut in (1, 20, len(DOCKER), len(DOCKER) + 4):
        http = Http1()
        http.receive((DOCKER + BODY)[:cut])
        http.receive_end()
        assert refused(http).status == 400
        assert http.next_event() is None
    http = Http1()
    http.receive(STREAMS["upgrade"].partition(b"early")[0])
    http.receive_end()
    assert isinstance(http.next_event(), Head)
    assert (http.next_event(), http.next_event()) == (END, None)  # its end may be for who gets the socket
    http.answer(404, b"", b"")
    assert http.next_event() is LEFT


def test_who_waits_for_100_continue() -> None:
    head = b"POST / HTTP/1.%d\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    for minor, rest, said in ((1, b"", CONTINUE), (0, b"", b""), (1, b"a", b"")):
        http = Http1()
        http.receive(head % minor + rest)
        while http.next_event() is not None:
            pass
        assert http.go_on() == said
        assert http.go_on() == b""
    http = Http1()
    http.receive(head % 1)
    assert isinstance(http.next_event(), Head)
    http.answer(400, b"", b"")
    assert http.go_on() == b""
    assert http.in_body and not http.next_request()


def test_a_body_that_was_not_asked_for_may_not_come() -> None:
    """What the client sends next is the body or its next request (RFC 9110 section 10.1.1): there is no next."""
    for length, rest, closes in ((2, b"", True), (2, b"a", False), (0, b"", False)):
        for streamed in (False, True):
            http = Http1()
            http.receive(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
            http.receive(rest)
            while http.next_event() is not None:
                pass
            said = http.start(404, b"") + http.finish() if streamed else http.answer(404, b"", b"")
            assert (b"\r\nConnection: close\r\n" in said) is closes
            http.receive(b"ab"[len(rest) : length])
            while http.next_event() is not None:
                pass
            assert http.next_request() is not closes


@pytest.mark.parametrize("broken", [b"nonsense\r\n\r\n", b"\x16"])
def test_a_refusal_says_why_after_a_head_too(broken: bytes) -> None:
    http = asked(PLAIN.replace(b"GET", b"HEAD"))
    http.answer(200, b"", b"hi")
    assert http.next_request()
    http.receive(broken)
    assert refused(http).status == 400
    assert http.answer(400, b"", b"why") == (
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nwhy"
    )


# Answers.


def asked(stream: bytes) -> Http1:
    http = Http1()
    http.receive(stream)
    while http.next_event() is not None:
        pass
    return http


FIELDS = encode_fields([("Server", "W/1"), ("Content-Type", "a/b")])
LINES = b"Server: W/1\r\nContent-Type: a/b\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "said", "goes_on"),
    [
        (PLAIN, 200, b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nhi", True),
        (PLAIN, 404, b"HTTP/1.1 404 Not Found\r\n%bContent-Length: 2\r\n\r\nhi", True),
        (PLAIN, 204, b"HTTP/1.1 204 No Content\r\n%b\r\n", True),
        (PLAIN, 304, b"HTTP/1.1 304 Not Modified\r\n%b\r\n", True),
        (PLAIN.replace(b"GET", b"HEAD"), 200, b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\n", True),
        (STREAMS["old"], 200, b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\nConnection: close\r\n\r\nhi", False),
        (STREAMS["last"], 200, b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\nConnection: close\r\n\r\nhi", False),
        (STREAMS["last"], 204, b"HTTP/1.1 204 No Content\r\n%bConnection: close\r\n\r\n", False),
    ],
)  # fmt: skip
def test_whole_answers(request_bytes: bytes, status: int, said: bytes, goes_on: bool) -> None:
    http = asked(request_bytes)
    assert http.answer(status, FIELDS, b"hi") == said % LINES
    assert http.begun
    with pytest.raises(RuntimeError):
        http.answer(500, b"", b"")
    assert http.next_request() is goes_on
    assert http.begun is not goes_on


IN_CHUNKS = b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "framing", "content", "goes_on"),
    [
        (PLAIN, b"Transfer-Encoding: chunked\r\n", IN_CHUNKS, True),
        (STREAMS["last"], b"Transfer-Encoding: chunked\r\nConnection: close\r\n", IN_CHUNKS, False),
        (STREAMS["old"], b"Connection: close\r\n", b"abc0123456789abcdef", False),
        (PLAIN.replace(b"GET", b"HEAD"), b"Transfer-Encoding: chunked\r\n", b"", True),
    ],
)  # fmt: skip
def test_answers_in_pieces(request_bytes: bytes, framing: bytes, content: bytes, goes_on: bool) -> None:
    http = asked(request_bytes)
    assert http.start(200, FIELDS) == b"HTTP/1.1 200 OK\r\n%b%b\r\n" % (LINES, framing)
    said = http.piece(b"abc") + http.piece(b"") + http.piece(b"0123456789abcdef")
    assert not http.next_request()
    assert said + http.finish() == content
    assert http.next_request() is goes_on


@pytest.mark.parametrize("fields", [
    ("Label", "a\r\nSet-Cookie: b"), ("Label", "a\nb"), ("Label", "a\rb"), ("Label", "a\0b"), ("Label", "\u2028"),
    ("La\r\nbel", "a"), ("La bel", "a"), ("Label:", "a"), ("", "a"), ("Lábel", "a"), ("Label", "a\x7f"),
])  # fmt: skip
def test_no_header_writes_another(fields: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="no header can say"):
        encode_fields([fields])


def test_headers_as_they_are_written() -> None:
    assert encode_fields([]) == b""
    assert encode_fields([("A", ""), ("B-c", "d\te é")]) == b"A: \r\nB-c: d\te \xe9\r\n"


def test_lists_in_several_lines() -> None:
    head = read_head(with_fields(b"Connection: keep-alive", b"connection: x , Close", b"A: b", b"A: c"))
    assert head.says("connection", "close")
    assert not head.says("connection", "keep")
    assert not head.says("expect", "close")
    assert head.fields == {"host": "a", "connection": "keep-alive, x , Close", "a": "c"}
