"""Paths inside a tree that somebody else wrote: openat2(2), and nothing else, turns them into descriptors.

Rule 1 of the house: a path of a container or an image is resolved by the kernel with that tree as its root
(RESOLVE_IN_ROOT), never through /proc's magic links, and used by descriptor from then on.
"""

import errno
import os
import stat
import struct

from wardian.kernel import syscalls

# openat2(2): resolve flags
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_RACES = 1000
_LINKS = 40  # MAXSYMLINKS
_OPEN_HOW = struct.Struct("=3Q")  # struct open_how: flags, mode, resolve


def openat2(dir_fd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2), close-on-exec always. Raises OSError with the path.

    EAGAIN, a rename that raced, is tried again, but not for ever: a container that renames in a loop waits for that.
    """
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise OSError(errno.EINVAL, "path holds a NUL byte", path)
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(_RACES):
        try:
            return syscalls.call(syscalls.OPENAT2, dir_fd, raw, how, len(how), subject=path)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def open_in_root(root_fd: int, path: str | bytes, flags: int, mode: int = 0, *, one_mount: bool = False) -> int:
    """Open `path` as a process chrooted to `root_fd` would see it: `..` and absolute links end at that root. What lies
    on another mount is EXDEV with `one_mount`."""
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (RESOLVE_NO_XDEV if one_mount else 0)
    return openat2(root_fd, path or ".", flags, mode, resolve)


def open_beneath(dir_fd: int, path: str | bytes, flags: int, mode: int = 0) -> int:
    """Open `path` below `dir_fd`, following no symbolic link at all; leaving the directory is EXDEV."""
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    return openat2(dir_fd, path, flags, mode, resolve)


def read_in_root(root_fd: int, path: str | bytes, limit: int, *, at_once: bool = False) -> bytes:
    """The content of a regular file of the tree. EINVAL for a device or a fifo, EFBIG past `limit` bytes. `at_once`:
    EXDEV for one on another mount, EAGAIN for one that somebody has a lease on (`open_seen`).

    A planted fifo does not hold the caller (CVE-2024-9676 was such a file named /etc/passwd).
    """
    fd = _opened_file(open_in_root(root_fd, path, os.O_PATH, one_mount=at_once), path, at_once)
    try:
        if os.fstat(fd).st_size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        chunks: list[bytes] = []
        left = limit
        while left and (chunk := os.read(fd, min(left, 1 << 16))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def open_file(dir_fd: int, name: str | bytes) -> int:
    """The regular file `name` of a directory that others write, for reading. EINVAL for all else, links as well."""
    return _opened_file(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd), name)


def open_seen(node: int, at_once: bool = False) -> int:
    """The regular file that `node` (O_PATH) is, for reading: also when its name is gone or means another by now.

    Who has a lease on it is asked to let go, and has 45 s for that (fcntl(2), F_SETLEASE); with `at_once` it is EAGAIN.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_NONBLOCK if at_once else 0)
    return os.open(f"/proc/self/fd/{node}", flags)


def _opened_file(node: int, path: str | bytes, at_once: bool = False) -> int:
    """What `node` (O_PATH) is, opened for reading; takes `node` over.

    Looked at first: to open a device is to use it (a watchdog begins to count, a tape rewinds), and containers and
    images have what nodes they like. A name could be another node by then, the descriptor cannot (proc(5)).
    """
    try:
        if not stat.S_ISREG(os.fstat(node).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return open_seen(node, at_once)
    finally:
        os.close(node)


def set_mode(dir_fd: int, name: str | bytes, mode: int) -> None:
    """Of a device or a fifo. chmod(2) would follow a link that took its place (CVE-2021-41089), so it goes by a
    descriptor of the node itself: fchmod(2) takes no O_PATH, its name in /proc does."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def make_in_root(root_fd: int, path: str, *, directory: bool) -> int:
    """An O_PATH descriptor of `path` in the tree, made with its parents when missing: a directory, or an empty file.

    Each component is resolved from the root anew, so a link on the way leads where it does for the container.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        at = "/".join(parts[:count])
        try:
            os.close(open_in_root(root_fd, at, os.O_PATH))
            continue
        except FileNotFoundError:
            pass
        parent = open_in_root(root_fd, "/".join(parts[: count - 1]), os.O_PATH | os.O_DIRECTORY)
        try:
            if directory or count < len(parts):
                os.mkdir(parts[count - 1], 0o755, dir_fd=parent)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(parts[count - 1], flags, 0o644, dir_fd=parent))
        finally:
            os.close(parent)
    return open_in_root(root_fd, path, os.O_PATH)


def followed_in_root(root_fd: int, path: str) -> str:
    """Where the links of `path` lead in the tree, as far as they can be followed: for people, not for opening it."""
    left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            done = done[:-1]
            continue
        try:
            fd = open_in_root(root_fd, "/".join([*done, part]), os.O_PATH | os.O_NOFOLLOW)
            try:
                target = os.readlink("", dir_fd=fd)  # readlinkat(2): the link that the descriptor is
            finally:
                os.close(fd)
        except OSError:  # no link, or nothing there
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            done.append(part)
            break
        done = [] if target.startswith("/") else done
        left += [piece for piece in reversed(target.split("/")) if piece not in ("", ".")]
    return "/" + "/".join([*done, *reversed(left)])
