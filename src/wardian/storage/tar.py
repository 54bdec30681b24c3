"""Reading tar archives from a stream: ustar, GNU long names and big numbers, pax headers (POSIX pax(1), tar(5)).

Only headers pass through Python; file data is handed on as slices of the chunks that came in. Nothing here touches a
file system: names are bytes as they were written, and hostile until `unpack` has checked them.

Sparse files are refused by name: an image layer has none (the OCI layer format does not allow the GNU extension).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError

BLOCK = 512
REGULAR, HARD_LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

_CONTIGUOUS, _OLD_REGULAR = b"7", b"\0"
_GNU_LONG_NAME, _GNU_LONG_LINK, _GNU_SPARSE = b"L", b"K", b"S"
_PAX, _PAX_GLOBAL = b"x", b"g"
_GNU_SKIPPED = frozenset((b"V", b"M", b"D", b"N"))  # volume label, continuation, dump directory, old long names
_HEADER_ONLY = frozenset((HARD_LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))
_DEVICES = frozenset((CHAR, BLOCK_DEVICE))
_ZERO = bytes(BLOCK)
_META_LIMIT = 1 << 20  # the pax and long-name bodies of one member: a bomb otherwise
_SIZE_LIMIT = 1 << 62


class TarEntry(NamedTuple):
    """One member. `kind` is one of the constants above; `mtime` in nanoseconds; `xattrs` as (name, value) pairs."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes
    major: int
    minor: int
    xattrs: tuple[tuple[bytes, bytes], ...]


class TarReader:
    """Iterates over the entries of a stream of chunks; `data()` yields the current entry's content.

    What is not read of an entry is skipped. After the last entry the stream is read to its end, so that whoever hashes
    it has seen every byte. Raises WardianError(INVALID) for what is no tar, or is cut short.

    `keep` hears all bytes of the stream in their order, but those that `data()` gave to the caller.
    """

    def __init__(self, chunks: Iterable[bytes], keep: Callable[[bytes | memoryview], None] | None = None) -> None:
        self._chunks = iter(chunks)
        self._keep = keep
        self._chunk = memoryview(b"")
        self._left = 0  # bytes of the current entry's data not handed out yet
        self._padding = 0
        self._global: dict[bytes, bytes] = {}
        self._extended = 0  # bytes of extension headers since the last member

    def __iter__(self) -> Iterator[TarEntry]:
        while (header := self._next_header()) is not None:
            entry = self._entry(header)
            if entry is not None:
                self._extended = 0
                self._left, self._padding = entry.size, -entry.size % BLOCK
                yield entry
        if self._keep is None:
            for _ in self._chunks:
                pass
            return
        self._keep(self._chunk)
        for rest in self._chunks:
            self._keep(rest)

    def data(self) -> Iterator[memoryview]:
        """The current entry's content, in pieces as they come."""
        while self._left:
            if not self._chunk:
                self._refill()
            piece = self._chunk[: self._left]
            self._chunk = self._chunk[len(piece) :]
            self._left -= len(piece)
            yield piece

    def _next_header(self) -> bytes | None:
        """The next header block, or None at the end: a zero block, or the stream's end at a block boundary."""
        for piece in self.data():
            if self._keep is not None:
                self._keep(piece)
        self._take(self._padding)
        self._padding = 0
        if not self._chunk:
            self._chunk = memoryview(next(filter(None, self._chunks), b""))
            if not self._chunk:
                return None
        header = self._take(BLOCK)
        return None if header == _ZERO else header

    def _entry(self, header: bytes) -> TarEntry | None:
        """Decode a header and the extension headers before it; None when only skipped members are left."""
        pax = dict(self._global)
        name = link = None
        while True:
            _check_sum(header)
            kind = header[156:157]
            if kind == _PAX:
                pax.update(_pax_records(self._body(header)))
            elif kind == _PAX_GLOBAL:
                self._global.update(_pax_records(self._body(header)))
                if sum(map(len, (*self._global, *self._global.values()))) > _META_LIMIT:
                    raise _broken("global extension headers without end")
                return None
            elif kind == _GNU_LONG_NAME:
                name = self._body(header).partition(b"\0")[0]
            elif kind == _GNU_LONG_LINK:
                link = self._body(header).partition(b"\0")[0]
            else:
                return self._member(header, kind, pax, name, link)
            following = self._next_header()
            if following is None:
                raise _broken("it ends after an extension header")
            header = following

    def _member(
        self, header: bytes, kind: bytes, pax: dict[bytes, bytes], name: bytes | None, link: bytes | None
    ) -> TarEntry | None:
        name = pax.get(b"path") or name or _ustar_name(header)
        if kind == _GNU_SPARSE or b"GNU.sparse.major" in pax or b"GNU.sparse.map" in pax:
            shown = (pax.get(b"GNU.sparse.name") or name).decode(errors="replace")
            raise WardianError(
                NOT_IMPLEMENTED, f"archive: {shown!r} is a GNU sparse file: not built yet", operation="read tar"
            )
        size = _decimal(pax[b"size"]) if b"size" in pax else _number(header[124:136])
        if not 0 <= size < _SIZE_LIMIT:
            raise _broken(f"{name!r} has size {size}")
        if kind in (_OLD_REGULAR, _CONTIGUOUS):
            kind = DIRECTORY if kind == _OLD_REGULAR and name.endswith(b"/") else REGULAR
        if kind in _HEADER_ONLY:
            size = 0
        elif kind != REGULAR:
            if kind in _GNU_SKIPPED:
                self._left, self._padding = size, -size % BLOCK
                return None
            raise _broken(f"{name!r} is of unknown type {kind!r}")
        return TarEntry(
            name,
            kind,
            _number(header[100:108]) & 0o7777,
            _decimal(pax[b"uid"]) if b"uid" in pax else _number(header[108:116]),
            _decimal(pax[b"gid"]) if b"gid" in pax else _number(header[116:124]),
            size,
            _nanoseconds(pax[b"mtime"]) if b"mtime" in pax else _number(header[136:148]) * 1_000_000_000,
            pax.get(b"linkpath") or link or _text(header[157:257]),
            _number(header[329:337]) if kind in _DEVICES else 0,
            _number(header[337:345]) if kind in _DEVICES else 0,
            _xattrs(pax) if pax else (),
        )

    def _body(self, header: bytes) -> bytes:
        """The content of an extension header."""
        size = _number(header[124:136])
        self._extended += size
        if not 0 <= size <= self._extended <= _META_LIMIT:  # many small ones are a bomb too
            raise _broken(f"extension headers of {self._extended} bytes")
        body = self._take(size)
        self._take(-size % BLOCK)
        return body

    def _take(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        taken = self._taken(count)
        if self._keep is not None and taken:
            self._keep(taken)
        return taken

    def _taken(self, count: int) -> bytes:
        if count <= len(self._chunk):
            taken = bytes(self._chunk[:count])
            self._chunk = self._chunk[count:]
            return taken
        parts: list[memoryview] = []
        while count:
            if not self._chunk:
                self._refill()
            piece = self._chunk[:count]
            self._chunk = self._chunk[len(piece) :]
            count -= len(piece)
            parts.append(piece)
        return b"".join(parts)

    def _refill(self) -> None:
        chunk = next(filter(None, self._chunks), None)
        if chunk is None:
            raise _broken("it ends in the middle of an entry")
        self._chunk = memoryview(chunk)


def _ustar_name(header: bytes) -> bytes:
    name = _text(header[:100])
    if header[257:263] != b"ustar\0":  # GNU keeps times where POSIX has the prefix
        return name
    # star(1) has times in the prefix's last 24 bytes and says so by its own trailer
    prefix = _text(header[345:476] if header[508:512] == b"tar\0" else header[345:500])
    return prefix + b"/" + name if prefix else name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """An octal field, or GNU's base 256 when the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if not digits.isdigit():
        raise _broken(f"number {digits!r} in a header")
    try:
        return int(digits, 8)
    except ValueError:
        raise _broken(f"number {digits!r} in a header") from None


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise _broken(f"number {text[:40]!r} in a pax header")
    return int(text)


def _nanoseconds(text: bytes) -> int:
    """A pax time, "seconds[.fraction]" with an optional minus."""
    negative = text.startswith(b"-")
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if not (whole + fraction).isdigit() or len(text) > 64:
        raise _broken(f"time {text[:40]!r} in a pax header")
    value = int(whole or b"0") * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -value if negative else value


def _check_sum(header: bytes) -> None:
    stated = _number(header[148:156])
    if stated == sum(header) - sum(header[148:156]) + 256:
        return
    signed = sum(header[:148]) + 256 + sum(header[156:])  # some old writers summed signed bytes
    signed -= 256 * sum(byte > 127 for byte in header[:148] + header[156:])
    if stated != signed:
        raise _broken("a header's checksum is wrong")


def _pax_records(body: bytes) -> dict[bytes, bytes]:
    """`LENGTH KEY=VALUE\\n` records; LENGTH counts itself."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 8)
        length = int(body[at:space]) if space > 0 and body[at:space].isdigit() else 0
        end = at + length
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        # without a length `end` stays where it is, and so would this loop
        if not length or end > len(body) or end <= space + 1 or body[end - 1 : end] != b"\n" or not equals or not key:
            raise _broken("a malformed pax record")
        records[key] = value
        at = end
    return records


_XATTR = b"SCHILY.xattr."


def _xattrs(pax: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((key[len(_XATTR) :], value) for key, value in pax.items() if key.startswith(_XATTR))


def _broken(reason: str) -> WardianError:
    return WardianError(INVALID, f"not a valid tar archive: {reason}", operation="read tar")
