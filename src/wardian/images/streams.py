"""Streams of layer bytes, as iterators of chunks: each stage reads the one before, and no byte is copied twice.

socket → verified (digest of the blob) → inflated (gzip by ISA-L, zstd, or none) → storage (diff id, files)
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from isal import igzip_lib

from wardian.errors import INVALID, WardianError
from wardian.images.content import mismatch

CHUNK = 1 << 18
_OUTPUT = 1 << 20  # an inflated chunk at most: a bomb grows the disk, which is bounded, and not our memory
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BZIP2_MAGIC = b"BZh"
_XZ_MAGIC = b"\xfd7zXZ\0"
_XZ_MEMORY = 256 << 20  # its header may ask for 4 GiB


def file_chunks(file: BinaryIO) -> Iterator[bytes]:
    """A file's content from where it stands."""
    return iter(lambda: file.read(CHUNK), b"")


def verified(chunks: Iterable[bytes], digest: str, size: int, source: str) -> Iterator[bytes]:
    """Pass chunks on; after the last, raise INVALID naming the blob when its digest or size is not as stated."""
    state = hashlib.sha256()
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > size >= 0:
            raise mismatch(digest, f"of a longer one ({size} bytes stated)", source)
        state.update(chunk)
        yield chunk
    found = "sha256:" + state.hexdigest()
    if found != digest:
        raise mismatch(digest, found if total >= size else f"{found} (cut short: {total} of {size} bytes)", source)


def inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress by what the first bytes are, whatever a media type says. Reads its source to the end, always."""
    source = iter(chunks)
    head = b""
    while len(head) < 6 and (chunk := next(source, None)) is not None:
        head += chunk
    stream = _joined(head, source)
    if head.startswith(_GZIP_MAGIC):
        yield from _members(stream, _gzip())
    elif head.startswith(_ZSTD_MAGIC):
        yield from _members(stream, _zstd())
    elif head.startswith(_BZIP2_MAGIC):
        yield from _members(stream, _bzip2())
    elif head.startswith(_XZ_MAGIC):
        yield from _members(stream, _xz())
    else:
        yield from stream


def counted(chunks: Iterable[bytes], tell: Callable[[int], None]) -> Iterator[bytes]:
    """Pass chunks on, telling the number of bytes so far after each."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        tell(total)
        yield chunk


def _joined(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


class _Codec(NamedTuple):
    name: str
    decoder: Callable[[], Any]
    error: Any  # the exception class that it raises


def _gzip() -> _Codec:
    return _Codec("gzip", lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), igzip_lib.IsalError)


def _zstd() -> _Codec:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        from backports import zstd
    return _Codec("zstd", zstd.ZstdDecompressor, zstd.ZstdError)


def _bzip2() -> _Codec:
    import bz2

    return _Codec("bzip2", bz2.BZ2Decompressor, (OSError, ValueError))


def _xz() -> _Codec:
    import lzma

    return _Codec("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), lzma.LZMAError)


def _members(stream: Iterator[bytes], codec: _Codec) -> Iterator[bytes]:
    """Decode concatenated members (pigz, eStargz and zstd:chunked write many); zeros may pad them."""
    decoder = None
    for chunk in stream:
        data = chunk
        while True:
            if decoder is None:
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = codec.decoder()
            try:
                piece = decoder.decompress(data, _OUTPUT)
            except codec.error as error:
                raise WardianError(INVALID, f"damaged {codec.name} stream: {error}", operation="inflate") from None
            if piece:
                yield piece
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
            elif decoder.needs_input:
                break
    if decoder is not None:
        raise WardianError(INVALID, f"damaged {codec.name} stream: it is cut short", operation="inflate")
