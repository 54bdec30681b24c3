"""Lines of the log file → what a client is sent.

    {"log":"text\\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-11-21T03:49:52.643422431Z"}

In an entry's text every quote is escaped, so what stands between two entries' texts is found by one pattern and cannot
be imitated. Whole blocks are cut there, and their texts are decoded together: many times quicker than line by line.
"""

import calendar
import re
import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import quote_plus

import msgspec

FRAME = struct.Struct(">BxxxL")
STREAMS = {b"stdout": 1, b"stderr": 2}
_HEAD = b'{"log":"'
_END = rb'","stream":"(stdout|stderr)"(?:,"attrs":(\{.*?\}))?,"time":"([^"]*)"\}\n'
_ENTRY_END = re.compile(_END)
_BETWEEN = re.compile(_END + rb'\{"log":"')
_PLAIN_BETWEEN = re.compile(rb'","stream":"std(?:out|err)"(?:,"attrs":\{.*?\})?,"time":"[^"]*"\}\n\{"log":"')
_STDOUT, _STDERR = b'","stream":"stdout"', b'","stream":"stderr"'
_MOST_FRAMED = 1 << 15

_decode = msgspec.json.Decoder(str).decode
_decode_attributes = msgspec.json.Decoder(dict[str, str]).decode


class _BrokenLine(Exception):
    """A block has one that a power loss cut short."""


class Entry(NamedTuple):
    """`text` as the file has it, still escaped; `ended`: it is the end of its line."""

    text: bytes
    stream: bytes
    attributes: bytes
    time: bytes

    @property
    def ended(self) -> bool:
        return _ends(self.text)


class Rendering(NamedTuple):
    """How entries are shown. `framed`: in Docker's frames, `each` entry in one of its own."""

    streams: frozenset[bytes]
    framed: bool
    each: bool = True
    since: int = 0
    until: int = 0
    timestamps: bool = False
    details: bool = False

    @property
    def plain(self) -> bool:
        """Nothing but texts are wanted."""
        return not ((self.each and self.framed) or self.since or self.until or self.timestamps or self.details)


def entries(block: bytes) -> Iterator[Entry]:
    """The entries of whole lines. A line that a power loss cut short is left out."""
    at = 0
    while found := _ENTRY_END.search(block, at):
        head = block.rfind(b"\n", at, found.start()) + 1 or at  # a broken line before this one has no end of its own
        if block.startswith(_HEAD, head):
            yield Entry(block[head + len(_HEAD) : found.start()], found[1], found[2] or b"", found[3])
        at = found.end()


def unescaped(text: bytes) -> bytes:
    try:
        return _decode(b'"%b"' % text).encode()
    except (msgspec.DecodeError, UnicodeError):
        return b""


class Renderer:
    """Blocks of lines → bytes to send. It knows which lines have begun: a part that goes on has no timestamp again."""

    def __init__(self, how: Rendering) -> None:
        self._how = how
        self._begun: set[bytes] = set()

    def render(self, block: bytes) -> bytes:
        if self._how.plain:
            try:
                return self._texts(block)
            except (msgspec.DecodeError, UnicodeError, _BrokenLine):
                pass  # the others are found one by one
        return b"".join(self._lines(entries(block)))

    def _texts(self, block: bytes) -> bytes:
        how = self._how
        one = _only_stream(block)
        if one:
            return self._sent(one, _joined(block)) if one in how.streams else b""
        if not how.framed and len(how.streams) == 2:
            return _joined(block)
        if not _is_whole(block):
            raise _BrokenLine
        return b"".join(self._runs(block))

    def _runs(self, block: bytes) -> Iterator[bytes]:
        """What one stream said in a row, together."""
        for stream, run in groupby(entries(block), itemgetter(1)):
            if stream in self._how.streams:
                yield self._sent(stream, unescaped(b"".join(entry.text for entry in run)))

    def _lines(self, found: Iterable[Entry]) -> Iterator[bytes]:
        how = self._how
        for entry in found:
            if entry.stream not in how.streams or not self._in_time(entry.time):
                continue
            text = unescaped(entry.text)
            if entry.stream not in self._begun:
                text = self._margin(entry) + text
            (self._begun.discard if entry.ended else self._begun.add)(entry.stream)
            yield self._sent(entry.stream, text)

    def _margin(self, entry: Entry) -> bytes:
        stamp = entry.time + b" " if self._how.timestamps else b""
        return stamp + (_details(entry.attributes) if self._how.details else b"")

    def _in_time(self, time: bytes) -> bool:
        since, until = self._how.since, self._how.until
        if not since and not until:
            return True
        when = nanoseconds(time.decode())
        return when >= since and not (until and when > until)

    def _sent(self, stream: bytes, text: bytes) -> bytes:
        if not self._how.framed:
            return text
        if len(text) <= _MOST_FRAMED:
            return FRAME.pack(STREAMS[stream], len(text)) + text
        parts = (text[at : at + _MOST_FRAMED] for at in range(0, len(text), _MOST_FRAMED))
        return b"".join(FRAME.pack(STREAMS[stream], len(part)) + part for part in parts)


def _is_whole(block: bytes) -> bool:
    """No broken line in it: as many beginnings as ends."""
    count = block.count(b"\n")
    return block.startswith(_HEAD) and block.count(b'"}\n') == count and block.count(b'"}\n' + _HEAD) == count - 1


def _only_stream(block: bytes) -> bytes:
    if _STDERR not in block:
        return b"stdout"
    return b"" if _STDOUT in block else b"stderr"


def _joined(block: bytes) -> bytes:
    """All texts of whole lines. Raises _BrokenLine, DecodeError.

    In a text a line feed is escaped, so one that is left when all that is between whole entries is out is a broken
    line's: to look for it is fast, to count line feeds took a third of the time."""
    last = block.rfind(b'","stream":"')
    texts = _PLAIN_BETWEEN.sub(b"", block[len(_HEAD) : last])
    if not block.startswith(_HEAD) or _ENTRY_END.fullmatch(block, last) is None or b"\n" in texts:
        raise _BrokenLine
    return _decode(b'"%b"' % texts).encode()


def _ends(text: bytes) -> bool:
    """The text's last character is a line feed: written \\n, and not a backslash followed by an n."""
    if not text.endswith(b"\\n"):
        return False
    slashes = len(text) - 1 - len(text[:-1].rstrip(b"\\"))
    return slashes % 2 == 1


def _details(attributes: bytes) -> bytes:
    """In Docker's order and spelling: a=b,c=d+e and a space."""
    try:
        found = _decode_attributes(attributes) if attributes else {}
    except msgspec.DecodeError:
        found = {}
    pairs = (f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(found.items()))
    return ",".join(pairs).encode() + b" "


def nanoseconds(text: str) -> int:
    """Unix nanoseconds of an RFC 3339 time in UTC, as the supervisor writes it."""
    head, _, fraction = text.rstrip("Z").partition(".")
    date, _, clock = head.partition("T")
    numbers = [int(part) for part in (*date.split("-"), *clock.split(":"))]
    return calendar.timegm((*numbers, 0, 0, 0)) * 1_000_000_000 + int((fraction + "000000000")[:9])
