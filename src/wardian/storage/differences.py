"""What a container changed: its upper directory compared with its image's root, in Docker's words (A, C, D).

Only the upper is walked; the image is looked at where the upper has something. A directory is named when its mode or
owner changed or something in it did; a file when mode, owner, size, time or its capabilities are others.
"""

import os
import stat
from collections.abc import Collection, Iterator
from typing import NamedTuple

from wardian.kernel import xattrs
from wardian.kernel.paths import open_file

CHANGED, ADDED, DELETED = 0, 1, 2  # the API's numbers
_IF_IN_IT = -1

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = "security.capability"


class Difference(NamedTuple):
    """`path` begins with a slash."""

    path: bytes
    kind: int


def differences(upper: int, image: int, left_out: Collection[bytes] = ()) -> list[Difference]:
    """By descriptors of the upper directory and of the image's root. `left_out` are paths without their first slash.

    Sorted so that a directory comes before what is in it. A stack of ours and not Python's: a container makes its tree
    as deep as it likes.
    """
    found: list[Difference] = []
    stack = [_level(os.dup(upper), os.dup(image), b"/", False)]
    try:
        while stack:
            level = stack[-1]
            if not level.left:
                stack.pop().close()
                continue
            name = level.left.pop()
            path = level.path + name
            if path[1:] in left_out:
                continue
            if name in level.hidden:
                found.append(Difference(path, DELETED))
                continue
            try:
                below = _entry(level, name, path, found)
            except (FileNotFoundError, NotADirectoryError):  # its container runs, and took it away just now
                continue
            if below is not None:
                stack.append(below)
    finally:
        for level in stack:
            level.close()
    return _settled(found)


class _Level(NamedTuple):
    """A directory on the way: `image` is the same directory there, -1 where the image has none. `hidden` are names that
    only the image has, and that the upper does not let through; `left` are all that are still to be looked at."""

    upper: int
    image: int
    path: bytes
    opaque: bool
    left: list[bytes]
    hidden: set[bytes]

    def close(self) -> None:
        os.close(self.upper)
        if self.image >= 0:
            os.close(self.image)


def _level(upper: int, image: int, path: bytes, opaque: bool) -> _Level:
    """Takes over both descriptors."""
    level = _Level(upper, image, path, opaque, [], set())
    try:
        there = set(map(os.fsencode, os.listdir(upper)))
        if image >= 0 and opaque:
            level.hidden.update(set(map(os.fsencode, os.listdir(image))) - there)
        level.left.extend(sorted(there | level.hidden, reverse=True))
    except BaseException:
        level.close()
        raise
    return level


def _entry(level: _Level, name: bytes, path: bytes, found: list[Difference]) -> _Level | None:
    """Says to `found` what became of one name; returns the directory that it is, to be looked into."""
    upper, image = level.upper, level.image
    status = os.stat(name, dir_fd=upper, follow_symlinks=False)
    before = _status(image, name)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # overlayfs(rst): a whiteout
        if before is not None:
            found.append(Difference(path, DELETED))
        return None
    same = before is not None and _same(upper, image, name, status, before)
    was_directory = before is not None and stat.S_ISDIR(before.st_mode)
    if not stat.S_ISDIR(status.st_mode):
        if not same:
            found.append(_said(path, before))
        if was_directory:
            found.extend(_all_gone(image, name, path))
        return None
    fd, lower = os.open(name, _DIRECTORY, dir_fd=upper), -1
    try:
        if was_directory:
            lower = os.open(name, _DIRECTORY, dir_fd=image)
        opaque = level.opaque or xattrs.is_opaque(fd)
    except BaseException:
        os.close(fd)
        if lower >= 0:
            os.close(lower)
        raise
    found.append(Difference(path, _IF_IN_IT) if same else _said(path, before))
    return _level(fd, lower, path + b"/", opaque)


def _settled(found: list[Difference]) -> list[Difference]:
    """A directory that is the same itself is named when something in it is: then that comes right behind it."""
    kept: list[Difference] = []
    for one in reversed(found):
        if one.kind != _IF_IN_IT:
            kept.append(one)
        elif kept and kept[-1].path.startswith(one.path + b"/"):
            kept.append(Difference(one.path, CHANGED))
    return kept[::-1]


def _said(path: bytes, before: os.stat_result | None) -> Difference:
    return Difference(path, ADDED if before is None else CHANGED)


def _all_gone(image: int, name: bytes, path: bytes) -> Iterator[Difference]:
    """What was in a directory that is none any more."""
    fd = os.open(name, _DIRECTORY, dir_fd=image)
    try:
        for child in sorted(map(os.fsencode, os.listdir(fd))):
            yield Difference(path + b"/" + child, DELETED)
    finally:
        os.close(fd)


def _status(image: int, name: bytes) -> os.stat_result | None:
    if image < 0:
        return None
    try:
        return os.stat(name, dir_fd=image, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _same(upper: int, image: int, name: bytes, now: os.stat_result, before: os.stat_result) -> bool:
    if (now.st_mode, now.st_uid, now.st_gid, now.st_rdev) != (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        before.st_rdev,
    ):
        return False
    if stat.S_ISDIR(now.st_mode):
        return True
    if now.st_size != before.st_size or now.st_mtime_ns != before.st_mtime_ns:
        return False
    if not stat.S_ISREG(now.st_mode):
        return True
    return _capability(upper, name) == _capability(image, name)


def _capability(directory: int, name: bytes) -> bytes:
    try:
        fd = open_file(directory, name)
    except FileNotFoundError:
        raise
    except OSError:  # something else has the name by now
        return b""
    try:
        return os.getxattr(fd, _CAPABILITY)
    except OSError:
        return b""
    finally:
        os.close(fd)
