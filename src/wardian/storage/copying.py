"""Copying a tree from one open directory into another, as it is: owners, modes, times, attributes, hard links, holes.

Both sides may hold what others wrote. Every directory is opened by one plain name below the descriptor of the one above
it, and no link is ever followed: what is read is of the source's tree, what is written lies in the target's.
"""

import errno
import os
import stat
from collections.abc import Callable

from wardian.kernel import xattrs
from wardian.kernel.paths import open_beneath, open_file, set_mode
from wardian.storage.ids import IdMap

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
Alive = Callable[[], None]


def copy_tree(source: int, target: int, alive: Alive = lambda: None, ids: IdMap = IdMap()) -> None:  # noqa: B008
    """Copies what is in the directory `source` into the empty directory `target`, and its own owner, mode and times.
    Owners become what they are outside of a user namespace with `ids`.

    `alive` is called at each step (a name, a megabyte): it raises to break the copying off. Raises OSError.
    """
    _Copy(source, target, alive, ids).run()


def copy_owner(source: int, target: int, ids: IdMap = IdMap()) -> None:  # noqa: B008
    """The source directory's own owner, mode and attributes."""
    status = os.fstat(source)
    os.fchown(target, *ids.outside(status.st_uid, status.st_gid))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    _copy_attributes(source, target)


class _Copy:
    """Directories are named by their path from the roots: however deep the tree, two descriptors are open at a time."""

    def __init__(self, source: int, target: int, alive: Alive, ids: IdMap) -> None:
        self._ids = ids
        self._source = source
        self._target = target
        self._alive = alive
        self._links: dict[tuple[int, int], bytes] = {}

    def run(self) -> None:
        pending, seen = [b"."], [b"."]
        while pending:
            found = self._level(pending.pop())
            pending += found
            seen += found
        for path in reversed(seen):  # from below: what is made in a directory changes its time
            self._finish(path)

    def _level(self, path: bytes) -> list[bytes]:
        """Copies one directory; returns the paths of those in it, which exist now."""
        self._alive()
        directories = []
        source, target = open_beneath(self._source, path, _DIRECTORY), -1
        try:
            target = open_beneath(self._target, path, _DIRECTORY)
            with os.scandir(source) as entries:
                names = [os.fsencode(entry.name) for entry in entries]
            for name in names:
                self._alive()
                status = os.stat(name, dir_fd=source, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    os.mkdir(name, 0o700, dir_fd=target)
                    directories.append(path + b"/" + name)
                else:
                    self._entry(path, source, target, name, status)
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)
        return directories

    def _finish(self, path: bytes) -> None:
        self._alive()
        source, target = open_beneath(self._source, path, _DIRECTORY), -1
        try:
            target = open_beneath(self._target, path, _DIRECTORY)
            copy_owner(source, target, self._ids)
            status = os.fstat(source)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)

    def _entry(self, path: bytes, source: int, target: int, name: bytes, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            key = status.st_dev, status.st_ino
            first = self._links.setdefault(key, path + b"/" + name)
            if first != path + b"/" + name:
                return self._link(first, target, name)
        if stat.S_ISREG(status.st_mode):
            return _copy_file(source, target, name, self._ids, self._alive)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        elif stat.S_ISSOCK(status.st_mode):
            return None  # nobody listens on a copy
        else:
            os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=target)
        os.chown(name, *self._ids.outside(status.st_uid, status.st_gid), dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            set_mode(target, name, stat.S_IMODE(status.st_mode))
        times = (status.st_atime_ns, status.st_mtime_ns)
        return os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)

    def _link(self, first: bytes, target: int, name: bytes) -> None:
        above, _, first_name = first.rpartition(b"/")
        directory = open_beneath(self._target, above, _DIRECTORY)
        try:
            os.link(first_name, name, src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
        finally:
            os.close(directory)


def _copy_file(source: int, target: int, name: bytes, ids: IdMap, alive: Alive) -> None:
    """One regular file, whatever has its name by now."""
    read = open_file(source, name)
    written = -1
    try:
        status = os.fstat(read)
        written = os.open(name, _NEW, 0o600, dir_fd=target)
        _copy_data(read, written, status.st_size, alive)
        # before mode and attributes: it clears setuid and capabilities
        os.fchown(written, *ids.outside(status.st_uid, status.st_gid))
        os.fchmod(written, stat.S_IMODE(status.st_mode))
        _copy_attributes(read, written)
        os.utime(written, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(read)
        if written >= 0:
            os.close(written)


def _copy_data(read: int, written: int, size: int, alive: Alive) -> None:
    """Holes stay holes (lseek(2), SEEK_DATA)."""
    at = 0
    while at < size:
        try:
            at = os.lseek(read, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        end = os.lseek(read, at, os.SEEK_HOLE)
        os.lseek(read, at, os.SEEK_SET)
        os.lseek(written, at, os.SEEK_SET)
        while at < end:
            alive()
            done = os.sendfile(written, read, None, min(end - at, _CHUNK))
            if not done:
                return os.ftruncate(written, at)  # it was cut short meanwhile
            at += done
    return os.ftruncate(written, size)


def _copy_attributes(source: int, target: int) -> None:
    """xattr(7) but overlayfs' own; what the target's file system does not take is left out, as in Docker."""
    names: list[str] = []
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
    for name in names:
        if xattrs.is_overlay_private(os.fsencode(name)):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENODATA):
                raise
