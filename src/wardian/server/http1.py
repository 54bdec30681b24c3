"""One connection's HTTP/1.1 (RFC 9112), the server's side: a client's bytes as events, an answer as bytes. No I/O.

    theirs   HEAD ──Head──▶ BODY ──bytes…──▶ END ──▶ ENDED ─┐ next_request(), once both sides of it have ended
    ours     NOTHING ──start()──▶ PIECES ──finish()──▶ ENDED ┘ and the client may go on

What comes behind a request's end waits, and is not looked at before its answer is out: it is the next request, or the
first bytes of a stream that the socket is handed over for.
"""

from __future__ import annotations

import re
from enum import Enum
from http import HTTPStatus

from wardian.server.chunks import Chunks
from wardian.server.heads import HEAD_LIMIT, Head, Refused, read_head

_EMPTY_LINE = b"\r\n\r\n"
_LONE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_FIRST_VISIBLE = 0x21
WITHOUT_CONTENT = (204, 304)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# clients show the words: docker-py puts them into its errors
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Mark(Enum):
    """Events without content."""

    END = "the request is whole"
    LEFT = "the client has ended its side, and all that it sent before is seen"


class _Theirs(Enum):
    HEAD = 0
    BODY = 1
    ENDED = 2
    BROKEN = 3


class _Ours(Enum):
    NOTHING = 0
    PIECES = 1
    ENDED = 2


END, LEFT = Mark.END, Mark.LEFT
# an enum's members are looked up slowly
_HEAD, _BODY, _ENDED, _BROKEN = _Theirs
_NOTHING, _PIECES, _DONE = _Ours


class Http1:
    """Requests and answers of one connection, one after the other."""

    def __init__(self) -> None:
        self._waiting = b""
        self._searched = 0
        self._no_more = False
        self._theirs = _HEAD
        self._ours = _NOTHING
        self._chunks: Chunks | None = None
        self._left = 0
        self._keep_alive = True
        self._chunked_answer = False
        self._wants_content = True
        self.offers_upgrade = False
        self.waits_for_continue = False

    # What the client says.

    def receive(self, data: bytes) -> None:
        if self._theirs is not _BROKEN:
            self._waiting = self._waiting + data if self._waiting else data

    def receive_end(self) -> None:
        self._no_more = True

    def next_event(self) -> Head | bytes | Mark | None:
        """A request's head, some of its body, its end; None: not before more bytes are here, or the answer is out.
        Raises Refused."""
        try:
            if self._theirs is _HEAD:
                return self._next_head()
            if self._theirs is _BODY:
                return self._next_of_body() if self._chunks is None else self._next_of_chunks(self._chunks)
        except Refused:
            self._theirs, self._waiting, self._keep_alive = _BROKEN, b"", False
            raise
        if self._theirs is _BROKEN or self._waiting or (self.offers_upgrade and self._ours is _NOTHING):
            return None
        return LEFT if self._no_more else None

    def _next_head(self) -> Head | Mark | None:
        data = self._waiting
        end = data.find(_EMPTY_LINE, self._searched) + len(_EMPTY_LINE)
        if end < len(_EMPTY_LINE):
            return self._no_head_yet(data)
        if end > HEAD_LIMIT:
            raise _long_head()
        self._waiting, self._searched = data[end:], 0
        head = read_head(data[:end])
        self._take(head)
        return head

    def _no_head_yet(self, data: bytes) -> Mark | None:
        """What cannot become one is refused at once: its client (one that speaks TLS) would wait for ever."""
        if not data:
            return LEFT if self._no_more else None
        if data[0] < _FIRST_VISIBLE or _LONE_LINE_FEED.search(data, self._searched):
            raise Refused(400, "the request is none of HTTP/1.1")
        if len(data) > HEAD_LIMIT:
            raise _long_head()
        if self._no_more:
            raise Refused(400, "the client ended in the middle of its request's head")
        self._searched = max(0, len(data) - len(_EMPTY_LINE) + 1)
        return None

    def _take(self, head: Head) -> None:
        fields = head.fields
        self._theirs = _BODY
        self._chunks = Chunks() if "transfer-encoding" in fields else None
        self._left = int(fields.get("content-length", 0))
        self._keep_alive = head.new and not head.says("connection", "close")
        self._chunked_answer = head.new
        self._wants_content = head.method != "HEAD"
        self.offers_upgrade = bool(fields.get("upgrade", "").strip(", \t"))
        if fields.get("expect"):
            self._expect(head)

    def _expect(self, head: Head) -> None:
        """The one expectation there is (RFC 9110 section 10.1.1); HTTP/1.0 knew none, and nothing is said to it."""
        if not head.says("expect", "100-continue"):
            raise Refused(417, f"nobody here can meet the expectation {head.fields['expect']!r}")
        self.waits_for_continue = head.new

    def _next_of_body(self) -> bytes | Mark | None:
        if not self._left:
            return self._end()
        data = self._waiting
        if not data:
            self._expect_more()
            return None
        self.waits_for_continue = False
        piece, self._waiting = data[: self._left], data[self._left :]
        self._left -= len(piece)
        return piece

    def _next_of_chunks(self, chunks: Chunks) -> bytes | Mark | None:
        while self._waiting and not chunks.ended:
            self.waits_for_continue = False
            content, self._waiting = chunks.feed(self._waiting)
            if content:
                return content
        if chunks.ended:
            return self._end()
        self._expect_more()
        return None

    def _expect_more(self) -> None:
        if self._no_more:
            raise Refused(400, "the client ended in the middle of its request's body")

    def _end(self) -> Mark:
        self._theirs, self._chunks, self.waits_for_continue = _ENDED, None, False
        return END

    @property
    def waiting(self) -> int:
        """How many bytes are there of what is behind the request under way."""
        return len(self._waiting) if self._theirs is _ENDED else 0

    def take_waiting(self) -> bytes:
        early, self._waiting = self._waiting, b""
        return early

    @property
    def in_body(self) -> bool:
        """More of the request is to come."""
        return self._theirs is _BODY

    # What we say.

    @property
    def begun(self) -> bool:
        """The answer's head is out."""
        return self._ours is not _NOTHING

    def go_on(self) -> bytes:
        """100 Continue, where the client waits for it before it sends its body; otherwise nothing."""
        if not self.waits_for_continue:
            return b""
        self.waits_for_continue = False
        return CONTINUE

    def answer(self, status: int, fields: bytes, content: bytes) -> bytes:
        """A whole one. `fields`: encode_fields."""
        self._begin(_DONE)
        start, close = _STATUS_LINES[status], self._closing()
        if status in WITHOUT_CONTENT:
            return b"%b%b%b\r\n" % (start, fields, close)
        said = content if self._wants_content else b""
        return b"%b%bContent-Length: %d\r\n%b\r\n%b" % (start, fields, len(content), close, said)

    def start(self, status: int, fields: bytes) -> bytes:
        """The head of one whose length nobody knows: in chunks, for HTTP/1.0 up to the end of the connection."""
        self._begin(_PIECES)
        framing = b"Transfer-Encoding: chunked\r\n" if self._chunked_answer else b""
        return b"%b%b%b%b\r\n" % (_STATUS_LINES[status], fields, framing, self._closing())

    def piece(self, content: bytes) -> bytes:
        if not content or not self._wants_content:
            return b""
        return b"%x\r\n%b\r\n" % (len(content), content) if self._chunked_answer else content

    def finish(self) -> bytes:
        self._ours = _DONE
        return b"0\r\n\r\n" if self._chunked_answer and self._wants_content else b""

    def _begin(self, state: _Ours) -> None:
        if self._ours is not _NOTHING:
            raise RuntimeError("a request has one answer")
        if self.waits_for_continue:
            self._keep_alive = False  # what comes next may be the body all the same, or a request in its place
        self._ours, self.waits_for_continue = state, False

    def _closing(self) -> bytes:
        return b"" if self._keep_alive else b"Connection: close\r\n"

    def next_request(self) -> bool:
        """Begins with what the client sends next; False when there can be no next on this connection."""
        if self._theirs is not _ENDED or self._ours is not _DONE or not self._keep_alive:
            return False
        self._theirs, self._ours = _HEAD, _NOTHING
        self._wants_content = True  # a refusal too, where no head says otherwise
        return True


def _long_head() -> Refused:
    return Refused(431, f"the request's head is longer than {HEAD_LIMIT} bytes")
