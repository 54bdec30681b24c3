"""Writing tar headers: ustar where it can say it, a pax extension header where it cannot (POSIX pax(1)).

Pure: an entry becomes bytes, the same entry always the same bytes, so the same tree gives the same digest.
"""

from wardian.storage.tar import BLOCK, CHAR, TarEntry
from wardian.storage.tar import BLOCK_DEVICE as BLOCK_NODE

END = bytes(2 * BLOCK)

_NAME, _OCTAL_ID, _OCTAL_SIZE = 100, 1 << 21, 1 << 33
_SECOND = 1_000_000_000
_XATTR = b"SCHILY.xattr."


def header(entry: TarEntry) -> bytes:
    """The blocks before an entry's data."""
    records = _records(entry)
    extended = b""
    if records:
        body = b"".join(_record(key, value) for key, value in records)
        name = b"PaxHeaders/" + (entry.name.rstrip(b"/").rpartition(b"/")[2] or b"_")
        extended = _block(TarEntry(name, b"x", 0o644, 0, 0, len(body), 0, b"", 0, 0, ())) + padded(body)
    return extended + _block(entry)


def padded(data: bytes) -> bytes:
    """`data` up to the end of its last block."""
    return data + bytes(-len(data) % BLOCK)


def _records(entry: TarEntry) -> list[tuple[bytes, bytes]]:
    """What ustar has no room for."""
    records: list[tuple[bytes, bytes]] = []
    for key, text in ((b"path", entry.name), (b"linkpath", entry.link)):
        if len(text) > _NAME or not text.isascii():
            records.append((key, text))
    for key, number, limit in (
        (b"uid", entry.uid, _OCTAL_ID),
        (b"gid", entry.gid, _OCTAL_ID),
        (b"size", entry.size, _OCTAL_SIZE),
    ):
        if number >= limit:
            records.append((key, b"%d" % number))
    if entry.mtime % _SECOND or not 0 <= entry.mtime < _OCTAL_SIZE * _SECOND:
        records.append((b"mtime", _time(entry.mtime)))
    records += [(_XATTR + name, value) for name, value in sorted(entry.xattrs)]
    return records


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _time(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    whole, part = divmod(abs(nanoseconds), _SECOND)
    return sign + (b"%d.%09d" % (whole, part)).rstrip(b"0").rstrip(b".")


def _block(entry: TarEntry) -> bytes:
    block = bytearray(BLOCK)

    def put(at: int, field: bytes) -> None:
        block[at : at + len(field)] = field

    put(0, entry.name[:_NAME])
    put(100, b"%07o\0" % entry.mode)
    put(108, b"%07o\0" % (entry.uid if entry.uid < _OCTAL_ID else 0))
    put(116, b"%07o\0" % (entry.gid if entry.gid < _OCTAL_ID else 0))
    put(124, b"%011o\0" % (entry.size if entry.size < _OCTAL_SIZE else 0))
    seconds = entry.mtime // _SECOND
    put(136, b"%011o\0" % (seconds if 0 <= seconds < _OCTAL_SIZE else 0))
    put(148, b" " * 8)
    put(156, entry.kind)
    put(157, entry.link[:_NAME])
    put(257, b"ustar\00000")
    if entry.kind in (CHAR, BLOCK_NODE):
        put(329, b"%07o\0" % entry.major)
        put(337, b"%07o\0" % entry.minor)
    put(148, b"%06o\0 " % sum(block))
    return bytes(block)
