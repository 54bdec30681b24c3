"""A request's body in chunks (RFC 9112 section 7.1), read by llhttp. No I/O.

llhttp does not say where in some bytes a message ended, and would go on with what follows. So the end is looked for
here, from one chunk's size to the next, and llhttp gets what comes before it, in one call however much that is. Content
is what llhttp says, and that it sees its end at the same byte is asked: what the two take differently is refused.
"""

from __future__ import annotations

import re

from httptools import HttpParserError, HttpRequestParser

from wardian.server.heads import Refused

# `close`: should llhttp get bytes behind the end in spite of all, they are an error to it and not the next request.
_HEAD = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
_OVERHEAD_LIMIT = 64 << 10
_LINE_END = b"\r\n"
_EMPTY_LINE = b"\r\n\r\n"
# 16 digits are 64 bits; what an extension may be is llhttp's matter
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?\r\n")


class _Found:
    """What llhttp calls. It does not name the parser, so that both go without a collection of circles."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = False
        self.on_body = self.pieces.append

    def on_message_complete(self) -> None:
        self.ended = True


class _Frames:
    """Where a body ends: behind the first empty line after the chunk of size 0. Content is not looked at."""

    def __init__(self) -> None:
        self.ended = False
        self._in_trailers = False
        self._unfinished = b""
        self._missing = 0

    def ours(self, data: bytes) -> int:
        """How many bytes of it are the body's. Raises Refused."""
        text, at = self._unfinished + data, self._missing
        if not self._in_trailers:
            at = self._pass_chunks(text, at)
        if self._in_trailers:
            end = text.find(_EMPTY_LINE, at)
            if end >= 0:
                self.ended = True
                return end + len(_EMPTY_LINE) - len(self._unfinished)
            at = max(at, len(text) - len(_EMPTY_LINE) + 1)
        self._unfinished, self._missing = text[at:], max(0, at - len(text))
        return len(data)

    def _pass_chunks(self, text: bytes, at: int) -> int:
        """Where a size is not yet there, or the end of the last one's line; past the end when content is missing."""
        while line := _SIZE_LINE.match(text, at):
            size = int(line[1], 16)
            if not size:
                self._in_trailers = True
                return line.end() - len(_LINE_END)
            at = line.end() + size + len(_LINE_END)
        if text.find(_LINE_END, at) >= 0:
            raise Refused(400, "a chunk does not begin with its size")
        return at


class Chunks:
    """One body. Nothing of extensions and trailers is kept, and without content between they have a limit."""

    def __init__(self) -> None:
        self._frames = _Frames()
        self._found = _Found()
        self._parser = HttpRequestParser(self._found)
        self._parser.feed_data(_HEAD)
        self._without_content = 0

    @property
    def ended(self) -> bool:
        return self._found.ended

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Content, in one piece however many chunks it came in, and what is behind the end. Raises Refused."""
        found, ours = self._found, self._frames.ours(data)
        try:
            self._parser.feed_data(memoryview(data)[:ours])
        except HttpParserError as error:
            raise Refused(400, str(error)) from None
        if found.ended is not self._frames.ended:
            raise Refused(400, "the chunks have no clear end")
        content = b"".join(found.pieces)
        found.pieces.clear()
        self._without_content = 0 if content else self._without_content + ours
        if self._without_content > _OVERHEAD_LIMIT:
            raise Refused(431, f"more than {_OVERHEAD_LIMIT} bytes of chunks without content")
        return content, data[ours:]
