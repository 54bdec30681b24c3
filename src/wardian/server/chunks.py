"""A request's body in chunks (RFC 9112 section 7.1), read by llhttp. No I/O.

llhttp does not say where in some bytes a message ended, and would go on with what follows. But a message in chunks ends
with an empty line, so it gets the bytes in pieces that end where one does: behind the piece that was the last, all is
still ours. A chunk's own content may have empty lines too; then there is a cut more, which changes nothing.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpRequestParser

from wardian.server.heads import HEAD_LIMIT, Refused

# `close`: should llhttp get bytes behind the end in spite of all, they are an error to it and not the next request.
_HEAD = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
_EMPTY_LINE = b"\r\n\r\n"
_KEPT = len(_EMPTY_LINE) - 1


class _Found:
    """What llhttp calls. It does not name the parser, so that both go without a collection of circles."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = False
        self.on_body = self.pieces.append

    def on_message_complete(self) -> None:
        self.ended = True


class Chunks:
    """One body. Nothing of extensions and trailers is kept, and without content between they have a limit."""

    def __init__(self) -> None:
        self._found = _Found()
        self._parser = HttpRequestParser(self._found)
        self._parser.feed_data(_HEAD)
        self._last = b""
        self._without_content = 0

    @property
    def ended(self) -> bool:
        return self._found.ended

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Content, in one piece however many chunks it came in, and what is behind the end. Raises Refused."""
        found, view = self._found, memoryview(data)
        begin, end = 0, self._first_cut(data)
        try:
            while begin < len(data) and not found.ended:
                self._parser.feed_data(view[begin:end])
                begin, end = end, _next_cut(data, end)
        except HttpParserError as error:
            raise Refused(400, str(error)) from None
        self._last = (self._last + data[-_KEPT:])[-_KEPT:]
        content = b"".join(found.pieces)
        found.pieces.clear()
        self._without_content = 0 if content else self._without_content + begin
        if self._without_content > HEAD_LIMIT:
            raise Refused(431, f"more than {HEAD_LIMIT} bytes of chunks without content")
        return content, data[begin:]

    def _first_cut(self, data: bytes) -> int:
        """An empty line may have begun in the bytes before."""
        at = (self._last + data[:_KEPT]).find(_EMPTY_LINE)
        return at + len(_EMPTY_LINE) - len(self._last) if at >= 0 else _next_cut(data, 0)


def _next_cut(data: bytes, begin: int) -> int:
    at = data.find(_EMPTY_LINE, begin)
    return at + len(_EMPTY_LINE) if at >= 0 else len(data)
