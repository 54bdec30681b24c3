"""Reading a tree into a tar stream, by descriptor: what leaves by `cp`, `export` and `commit`.

The tree is somebody else's and changes while it is read. Every directory is opened by one name in the descriptor of the
one above, through no link; a file that is replaced meanwhile is read as what was opened, and one that shrinks is filled
up with zeros, as tar(1) does.
"""

import errno
import os
import stat
from collections.abc import Collection, Generator, Iterator
from typing import NamedTuple

from wardian.kernel import xattrs
from wardian.kernel.paths import open_file
from wardian.kernel.statfs import is_kernel_interface
from wardian.storage import tar, tarwriter
from wardian.storage.descent import Descent
from wardian.storage.ids import IdMap
from wardian.storage.tar import TarEntry

CHUNK = 1 << 18
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHAR,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}
# What opening or reading answers where a process in the tree put something of another kind since it was looked at.
_CHANGED = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO)
_LOOKS = 100


class Packing(NamedTuple):
    """`layer`: the tree is the upper of an overlay, its whiteouts and opaque marks are told as the OCI layer format has
    them (image-spec, layer.md). `only` are paths of the tree, without a slash before them; None: all."""

    ids: IdMap = IdMap()
    layer: bool = False
    only: Collection[bytes] | None = None


def pack_directory(fd: int, top: bytes, packing: Packing = Packing()) -> Iterator[bytes]:  # noqa: B008  (a value)
    """The directory `fd` and all below it as `top/…`; with `top` "" each as it is, without an entry for itself.

    No end is written (`tarwriter.END`): more may follow. The caller closes `fd`.
    """
    return _Packer(packing).directory(fd, top)


def pack_entry(dir_fd: int, name: bytes, called: bytes, ids: IdMap) -> Iterator[bytes]:
    """One entry of a directory that is no directory itself. Raises OSError."""
    return _Packer(Packing(ids)).leaf(dir_fd, name, called)


class _Packer:
    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._links: dict[tuple[int, int], bytes] = {}  # files with several names: by which one they went out

    def directory(self, fd: int, top: bytes) -> Iterator[bytes]:
        if top:
            yield self._directory_header(fd, top + b"/" if top != b"/" else top)
        prefix = top.rstrip(b"/") + b"/" if top else b""
        descent = Descent(fd)
        path, above = bytearray(), [0]  # of the directory where we are, and the lengths of the paths above it
        try:
            left = [self._names(fd)]  # for each directory on the way, what is still to be told
            while left:
                if not left[-1]:
                    left.pop()
                    descent.leave()
                    del path[above.pop() :]
                    continue
                name = left[-1].pop()
                place = bytes(path) + name
                if self._packing.only is not None and place not in self._packing.only:
                    continue
                child = yield from self._child(descent.at, name, prefix + place)
                if child < 0:
                    continue
                descent.enter(child)
                above.append(len(path))
                path += name + b"/"
                left.append(self._names(child))
                yield self._directory_header(child, prefix + place + b"/")
                if self._packing.layer and xattrs.is_opaque(child):
                    yield _whiteout(prefix + place + b"/" + b".wh..wh..opq")
        finally:
            descent.close()

    def _names(self, fd: int) -> list[bytes]:
        """What is in a directory, the last first. What the kernel shows of itself (proc, sysfs …) is no content of a
        container."""
        return [] if is_kernel_interface(fd) else sorted(map(os.fsencode, os.listdir(fd)), reverse=True)

    def _directory_header(self, fd: int, name: bytes) -> bytes:
        status = os.fstat(fd)
        return tarwriter.header(self._entry(name, tar.DIRECTORY, status, xattributes=xattrs.portable(fd)))

    def _child(self, dir_fd: int, name: bytes, called: bytes) -> Generator[bytes, None, int]:
        """A descriptor of the directory `name`; -1 for something else, once it is told, and for what is not there.

        What becomes something else between two calls is looked at again, but not for ever.
        """
        for _ in range(_LOOKS):
            try:
                return os.open(name, _DIRECTORY, dir_fd=dir_fd)
            except FileNotFoundError:
                return -1
            except OSError as error:
                if error.errno not in _CHANGED:
                    raise
            pieces = self.leaf(dir_fd, name, called)
            try:
                first = next(pieces, b"")
            except FileNotFoundError:
                return -1
            except OSError as error:
                if error.errno not in _CHANGED:
                    raise
            else:
                yield first
                yield from pieces
                return -1
        return -1

    def leaf(self, dir_fd: int, name: bytes, called: bytes) -> Iterator[bytes]:
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            yield from self._file(dir_fd, name, called)
        elif kind == stat.S_IFCHR and status.st_rdev == 0 and self._packing.layer:
            directory, _, base = called.rpartition(b"/")
            yield _whiteout((directory + b"/" if directory else b"") + b".wh." + base)
        elif kind in _KINDS:  # not a socket: it means nothing without its process
            link = os.readlink(name, dir_fd=dir_fd) if kind == stat.S_IFLNK else b""
            yield tarwriter.header(self._entry(called, _KINDS[kind], status, link=link))
        elif kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)

    def _file(self, dir_fd: int, name: bytes, called: bytes) -> Iterator[bytes]:
        fd = open_file(dir_fd, name)
        try:
            status = os.fstat(fd)
            if status.st_nlink > 1:
                first = self._links.setdefault((status.st_dev, status.st_ino), called)
                if first != called:
                    yield tarwriter.header(self._entry(called, tar.HARD_LINK, status, link=first))
                    return
            attributes = xattrs.portable(fd)
            yield tarwriter.header(self._entry(called, tar.REGULAR, status, status.st_size, b"", attributes))
            yield from _content(fd, status.st_size)
        finally:
            os.close(fd)

    def _entry(
        self,
        name: bytes,
        kind: bytes,
        status: os.stat_result,
        size: int = 0,
        link: bytes = b"",
        xattributes: tuple[tuple[bytes, bytes], ...] = (),
    ) -> TarEntry:
        uid, gid = self._packing.ids.inside(status.st_uid, status.st_gid)
        device = status.st_rdev if kind in (tar.CHAR, tar.BLOCK_DEVICE) else 0
        mode, major, minor = stat.S_IMODE(status.st_mode), os.major(device), os.minor(device)
        return TarEntry(name, kind, mode, uid, gid, size, status.st_mtime_ns, link, major, minor, xattributes)


def _content(fd: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, and what fills the last block."""
    left = size
    while left:
        piece = os.read(fd, min(left, CHUNK))
        if not piece:
            break
        left -= len(piece)
        yield piece
    while left:
        piece = bytes(min(left, CHUNK))
        left -= len(piece)
        yield piece
    if size % tar.BLOCK:
        yield bytes(-size % tar.BLOCK)


def _whiteout(name: bytes) -> bytes:
    return tarwriter.header(TarEntry(name, tar.REGULAR, 0, 0, 0, 0, 0, b"", 0, 0, ()))


def batched(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces joined, so that a tree of small files does not cross threads header by header."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
