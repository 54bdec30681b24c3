"""An archive's outline: all of a layer's tar but the content of its files, to write it again byte for byte.

A layer is kept unpacked (docs/decisions/0004), and a digest wants the very bytes that it was made of: headers as their
writer wrote them, in their order, with their padding. They are kept beside the tree, gzipped, one record after another:

    R  length (8 bytes)  bytes                     of the archive, as they are
    F  size (8 bytes)    length (2 bytes)  path    the content of a file of the tree

A file that a later entry of the same archive replaced has its content in `replaced/`, and `replaced.json` says which F
it belongs to.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from typing import Any

from isal import igzip, isal_zlib

from wardian.errors import NOT_FOUND, SYSTEM, WardianError
from wardian.kernel.paths import open_in_root

OUTLINE = "outline.gz"
REPLACED = "replaced"
_REPLACED_INDEX = "replaced.json"
_BATCH = 1 << 18
_CHUNK = 1 << 18
_LEVEL = 1
_RAW, _FILE = b"R", b"F"
_HEAD = struct.Struct(">cQ")
_LENGTH = struct.Struct(">H")


class OutlineWriter:
    """Hears of an archive's bytes while it is unpacked into `directory`/diff. `finish` when it is."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file = open(os.path.join(directory, OUTLINE), "xb")  # noqa: SIM115  (closed by close)
        self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, 31)
        self._raw: list[bytes] = []
        self._raw_size = 0
        self._records: list[bytes] = []
        self._size = 0
        self._files: list[tuple[bytes, tuple[int, int]]] = []  # path, (device, inode): of use where some are replaced
        self._replaced = 0
        self.archive_size = 0

    def raw(self, data: bytes | memoryview) -> None:
        """Bytes of the archive that are in no file."""
        self._raw.append(bytes(data))
        self._raw_size += len(data)
        if self._raw_size >= _BATCH:
            self._end_raw()

    def file(self, path: bytes, fd: int, size: int) -> None:
        """The content of the file at `path`, open as `fd`, comes here."""
        self._end_raw()
        self._add(_HEAD.pack(_FILE, size) + _LENGTH.pack(len(path)) + path)
        status = os.fstat(fd)
        self._files.append((path, (status.st_dev, status.st_ino)))
        self.archive_size += size

    def replacing(self, parent: int, name: bytes) -> None:
        """What is at `name` goes; what was said of it must be found again."""
        target = os.path.join(self._directory, REPLACED)
        if not self._replaced:
            os.mkdir(target, 0o700)
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.rename(name, str(self._replaced), src_dir_fd=parent, dst_dir_fd=fd)
        finally:
            os.close(fd)
        self._replaced += 1

    def finish(self, root: int) -> None:
        """The archive is whole, and its tree is `root`."""
        self._end_raw()
        self._flush()
        self._file.write(self._compressor.flush())
        if self._replaced:
            index = self._moved(root)
            with open(os.path.join(self._directory, _REPLACED_INDEX), "x", encoding="ascii") as file:
                json.dump(index, file)
        self.close()

    def close(self) -> None:
        self._file.close()

    def _end_raw(self) -> None:
        if self._raw:
            self._add(_HEAD.pack(_RAW, self._raw_size))
            self._records += self._raw
            self._size += self._raw_size
            self.archive_size += self._raw_size
            self._raw, self._raw_size = [], 0
        if self._size >= _BATCH:
            self._flush()

    def _add(self, record: bytes) -> None:
        self._records.append(record)
        self._size += len(record)

    def _flush(self) -> None:
        self._file.write(self._compressor.compress(b"".join(self._records)))
        self._records, self._size = [], 0

    def _moved(self, root: int) -> dict[str, str]:
        """F by its number → where below `replaced` its file went. Only asked for where there is any such."""
        by_inode: dict[tuple[int, int], str] = {}
        base = os.path.join(self._directory, REPLACED)
        for directory, _, names in os.walk(base):
            for name in names:
                status = os.lstat(os.path.join(directory, name))
                found = os.path.relpath(os.path.join(directory, name), base)
                by_inode[status.st_dev, status.st_ino] = os.fsencode(found).hex()
        moved = {}
        for number, (path, inode) in enumerate(self._files):
            if inode in by_inode and _inode(root, path) != inode:
                moved[str(number)] = by_inode[inode]
        return moved


def archive(directory: str, layer_id: str) -> Iterator[bytes]:
    """The archive of the layer in `directory`, byte for byte. Raises SYSTEM at its end when it is not that any more."""
    digest = hashlib.sha256()
    for piece in _pieces(directory, layer_id):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != layer_id:
        raise _damaged(layer_id, f"its files give the digest sha256:{digest.hexdigest()}")


def _pieces(directory: str, layer_id: str) -> Iterator[bytes]:
    try:
        outline: Any = igzip.IGzipFile(os.path.join(directory, OUTLINE), "rb")  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        message = f"layer sha256:{layer_id} has no outline: its archive cannot be written again"
        hint = "it was stored by an earlier Wardian: remove its images and pull or load them again"
        raise WardianError(NOT_FOUND, message, operation="read layer", hint=hint) from None
    moved = _read_moved(directory)
    root = os.open(os.path.join(directory, "diff"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    number = 0
    try:
        with outline:
            while head := outline.read(_HEAD.size):
                kind, size = _HEAD.unpack(head)
                if kind == _RAW:
                    yield from _exactly(outline, size, layer_id, "its outline")
                    continue
                path = outline.read(_LENGTH.unpack(outline.read(_LENGTH.size))[0])
                with os.fdopen(_open(directory, root, path, moved.get(number), layer_id), "rb", buffering=0) as file:
                    yield from _exactly(file, size, layer_id, repr(path.decode(errors="replace")))
                number += 1
    finally:
        os.close(root)


def _read_moved(directory: str) -> dict[int, bytes]:
    try:
        with open(os.path.join(directory, _REPLACED_INDEX), encoding="ascii") as file:
            return {int(number): bytes.fromhex(path) for number, path in json.load(file).items()}
    except FileNotFoundError:
        return {}


def _open(directory: str, root: int, path: bytes, moved: bytes | None, layer_id: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if moved is None:
            return open_in_root(root, path, flags)
        replaced = os.open(os.path.join(directory, REPLACED), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_in_root(replaced, moved, flags)
        finally:
            os.close(replaced)
    except OSError as error:
        raise _damaged(layer_id, f"{path.decode(errors='replace')!r}: {error.strerror}") from error


def _exactly(file: Any, size: int, layer_id: str, what: str) -> Iterator[bytes]:
    while size:
        piece = file.read(min(size, _CHUNK))
        if not piece:
            raise _damaged(layer_id, f"{what} is cut short")
        size -= len(piece)
        yield piece


def _inode(root: int, path: bytes) -> tuple[int, int] | None:
    try:
        fd = open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        return status.st_dev, status.st_ino
    finally:
        os.close(fd)


def _damaged(layer_id: str, reason: str) -> WardianError:
    return WardianError(
        SYSTEM,
        f"layer sha256:{layer_id} is damaged on disk: {reason}",
        operation="read layer",
        subject=f"sha256:{layer_id}",
    )
