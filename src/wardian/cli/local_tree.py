"""Files of this machine to and from the tar stream of `cp`, as the person who typed it.

What comes out of a container is hostile: each directory on the way is opened by one name in the one above and through
no link, so nothing lands outside the place that was named, whatever links the archive brings.
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import IO, cast

from wardian.cli.command import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PIECE = 1 << 18
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
}
_BLOCK = tarfile.BLOCKSIZE


# --- out of this machine ---


def packed(path: str, called: str) -> Iterator[bytes]:
    """`path` with all below it, as `called`. A last link is followed only where a slash or "/." says so."""
    links: dict[tuple[int, int], str] = {}
    pending = [(path, called)]
    while pending:
        at, name = pending.pop()
        status = os.lstat(at)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # a socket means nothing without its process
            continue
        if kind == tarfile.REGTYPE:
            yield from _packed_file(at, name, links)
            continue
        info = _info(name, kind, status)
        if kind == tarfile.SYMTYPE:
            info.linkname = os.readlink(at)
        yield _header(info)
        if kind == tarfile.DIRTYPE:
            children = sorted(os.listdir(at), reverse=True)
            pending += [(os.path.join(at, child), f"{name.rstrip('/')}/{child}") for child in children]
    yield bytes(2 * _BLOCK)


def _packed_file(path: str, name: str, links: dict[tuple[int, int], str]) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        first = links.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 else name
        info = _info(name, tarfile.REGTYPE if first == name else tarfile.LNKTYPE, status)
        if first != name:
            info.linkname = first
            yield _header(info)
            return
        info.size = left = status.st_size
        yield _header(info)
        while left:
            piece = os.read(fd, min(left, _PIECE)) or bytes(min(left, _PIECE))  # one that shrinks is filled up
            left -= len(piece)
            yield piece
        if info.size % _BLOCK:
            yield bytes(-info.size % _BLOCK)
    finally:
        os.close(fd)


def _info(name: str, kind: bytes, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    info.mtime = int(status.st_mtime)
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return info


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


# --- onto this machine ---


def unpack(chunks: Iterable[bytes], target: str, renames: Sequence[tuple[str, str]], owners: bool) -> None:
    """Write the archive below the directory `target`, entries renamed by each (old, new) in turn: the first occurrence.

    With `owners` files belong to whom they did, which only root may say. Raises Failure, OSError.
    """
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    later: list[tuple[list[str], int | float]] = []
    try:
        with tarfile.open(
            fileobj=cast("IO[bytes]", _Reader(chunks)),
            mode="r|",
            bufsize=_PIECE,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            for info in archive:
                for old, new in renames:
                    info.name = info.name.replace(old, new, 1)
                    if info.islnk():
                        info.linkname = info.linkname.replace(old, new, 1)
                _place(root, target, archive, info, owners, later)
        for parts, mtime in reversed(later):
            fd = _walk(root, parts, make=False)
            os.utime(fd, (mtime, mtime))
            os.close(fd)
    except tarfile.TarError as error:
        raise Failure(f"the engine sent a damaged archive: {error}") from None
    finally:
        os.close(root)


class _Reader:
    """A stream of chunks as the file that tarfile reads."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._ahead = memoryview(b"")

    def read(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            if not self._ahead:
                self._ahead = memoryview(next(self._chunks, b""))
                if not self._ahead:
                    break
            piece, self._ahead = self._ahead[:left], self._ahead[left:]
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)


def _place(
    root: int,
    target: str,
    archive: tarfile.TarFile,
    info: tarfile.TarInfo,
    owners: bool,
    later: list[tuple[list[str], int | float]],
) -> None:
    parts = _parts(info.name)
    if not parts:
        return
    parent = _walk(root, parts[:-1], make=True)
    try:
        name = parts[-1]
        _make_way(parent, name, info, target)
        if info.isdir():
            _make_directory(parent, name, info, owners)
            later.append((parts, info.mtime))
        elif info.isreg():
            _make_file(parent, name, info, archive.extractfile(info), owners)
        elif info.islnk():
            _make_hard_link(root, parent, name, info)
        else:
            _make_node(parent, name, info, owners)
    finally:
        os.close(parent)


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Failure(f'invalid entry name "{name}"')
    return parts


def _walk(root: int, parts: Sequence[str], make: bool) -> int:
    """A descriptor of a directory below `root`, the missing ones made; a link on the way is an error."""
    fd = os.dup(root)
    for part in parts:
        try:
            if make:
                try:
                    os.mkdir(part, 0o755, dir_fd=fd)
                except FileExistsError:
                    pass
            below = os.open(part, _DIRECTORY, dir_fd=fd)
        except NotADirectoryError:
            raise Failure(f'refusing to go through "{"/".join(parts)}": "{part}" is no directory') from None
        finally:
            os.close(fd)
        fd = below
    return fd


def _make_way(parent: int, name: str, info: tarfile.TarInfo, target: str) -> None:
    """What is there goes, but a directory for a directory; neither takes the other's place."""
    try:
        is_directory = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return
    if is_directory and info.isdir():
        return
    if is_directory or info.isdir():
        there, comes = ("directory", "non-directory") if is_directory else ("non-directory", "directory")
        shown = target.rstrip("/")
        raise Failure(f'cannot overwrite {there} "{os.path.join(target, name)}" with {comes} "{shown}"')
    os.unlink(name, dir_fd=parent)


def _make_directory(parent: int, name: str, info: tarfile.TarInfo, owners: bool) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass
    fd = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        if owners:
            os.fchown(fd, info.uid, info.gid)
        os.fchmod(fd, info.mode & 0o7777)
    finally:
        os.close(fd)


def _make_file(parent: int, name: str, info: tarfile.TarInfo, content: IO[bytes] | None, owners: bool) -> None:
    fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
    with os.fdopen(fd, "wb") as file:
        while content is not None and (piece := content.read(_PIECE)):
            file.write(piece)
        file.flush()
        if owners:
            os.fchown(fd, info.uid, info.gid)
        os.fchmod(fd, info.mode & 0o7777)
        os.utime(fd, (info.mtime, info.mtime))


def _make_hard_link(root: int, parent: int, name: str, info: tarfile.TarInfo) -> None:
    parts = _parts(info.linkname)
    if not parts:
        raise Failure(f'invalid hard link "{info.name}"')
    source = _walk(root, parts[:-1], make=False)
    try:
        os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


def _make_node(parent: int, name: str, info: tarfile.TarInfo, owners: bool) -> None:
    if info.issym():
        os.symlink(info.linkname, name, dir_fd=parent)
    elif info.isfifo():
        os.mkfifo(name, 0o600, dir_fd=parent)
    else:
        kind = stat.S_IFCHR if info.ischr() else stat.S_IFBLK
        os.mknod(name, kind | 0o600, os.makedev(info.devmajor, info.devminor), dir_fd=parent)
    if owners:
        os.chown(name, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)
    if not info.issym():
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)  # chmod(2) would follow a link
        try:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", info.mode & 0o7777)
        finally:
            os.close(fd)
    os.utime(name, (info.mtime, info.mtime), dir_fd=parent, follow_symlinks=False)
