"""What a container changed: its upper directory compared with its image's root, in Docker's words (A, C, D).

Only the upper is walked; the image is looked at where the upper has something. A directory is named when its mode or
owner changed or something in it did; a file when mode, owner, size, time or its capabilities are others.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Iterator
from typing import NamedTuple

from wardian.errors import SYSTEM, WardianError
from wardian.kernel import xattrs
from wardian.kernel.paths import open_file
from wardian.storage.descent import Descent

CHANGED, ADDED, DELETED = 0, 1, 2  # the API's numbers
_IF_IN_IT = -1
_MOST = 256 << 20  # bytes of all paths: a thousand levels of "d" have one MiB

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = "security.capability"


class Difference(NamedTuple):
    """`path` begins with a slash."""

    path: bytes
    kind: int


def differences(upper: int, image: int, left_out: Collection[bytes] = ()) -> list[Difference]:
    """By descriptors of the upper directory and of the image's root. `left_out` are paths without their first slash.

    Sorted so that a directory comes before what is in it. A container makes its tree as deep as it likes: the stack is
    ours and not Python's, descriptors are bounded, and what paths hold together is, too (WardianError).
    """
    walk = _Walk(upper, image)
    try:
        walk.enter(b"/", upper, image, False)
        while walk.levels:
            level = walk.levels[-1]
            if not level.left:
                walk.leave()
                continue
            name = level.left.pop()
            path = level.path + name
            if path[1:] in left_out:
                continue
            if name in level.hidden:
                walk.say(Difference(path, DELETED))
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # its container runs, and took it away
                walk.look(level, name, path)
    finally:
        walk.close()
    return _settled(walk.found)


class _Level(NamedTuple):
    """A directory on the way. `hidden` are names that only the image has, and that the upper does not let through;
    `left` are all that are still to be looked at."""

    path: bytes
    in_image: bool
    opaque: bool
    left: list[bytes]
    hidden: set[bytes]


class _Walk:
    """Down the upper, and in the image's root as far as that has the same directories."""

    def __init__(self, upper: int, image: int) -> None:
        self.levels: list[_Level] = []
        self.found: list[Difference] = []
        self._told = 0
        self._upper = Descent(upper)
        self._image = Descent(image)

    def close(self) -> None:
        self._upper.close()
        self._image.close()

    def say(self, difference: Difference) -> None:
        self.found.append(difference)
        self._told += len(difference.path)
        if self._told > _MOST:
            message = f"the paths of what changed have more than {_MOST >> 20} MiB together: the tree is too deep"
            raise WardianError(SYSTEM, message, operation="diff", errno=errno.ENAMETOOLONG)

    def enter(self, path: bytes, upper: int, image: int, opaque: bool) -> None:
        """`image` is -1 where the image has no such directory. The descriptors stay their owners'."""
        there = set(map(os.fsencode, os.listdir(upper)))
        hidden = set(map(os.fsencode, os.listdir(image))) - there if image >= 0 and opaque else set()
        self.levels.append(_Level(path, image >= 0, opaque, sorted(there | hidden, reverse=True), hidden))

    def leave(self) -> None:
        level = self.levels.pop()
        if self.levels:  # at the root there is none above
            self._upper.leave()
            if level.in_image:
                self._image.leave()

    def look(self, level: _Level, name: bytes, path: bytes) -> None:
        """Says what became of one name, and enters the directory that it is."""
        upper, image = self._upper.at, self._image.at if level.in_image else -1
        status = os.stat(name, dir_fd=upper, follow_symlinks=False)
        before = _status(image, name)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # overlayfs(rst): a whiteout
            if before is not None:
                self.say(Difference(path, DELETED))
            return
        same = before is not None and _same(upper, image, name, status, before)
        was_directory = before is not None and stat.S_ISDIR(before.st_mode)
        if stat.S_ISDIR(status.st_mode):
            self._descend(level, path, *_open_both(upper, image if was_directory else -1, name))
            self.say(Difference(path, _IF_IN_IT) if same else _said(path, before))
            return
        if not same:
            self.say(_said(path, before))
        if was_directory:
            for one in _all_gone(image, name, path):
                self.say(one)

    def _descend(self, level: _Level, path: bytes, upper: int, image: int) -> None:
        """Takes over both."""
        self._upper.enter(upper)
        if image >= 0:
            self._image.enter(image)
        try:
            self.enter(path + b"/", upper, image, level.opaque or xattrs.is_opaque(upper))
        except BaseException:
            self._upper.leave()
            if image >= 0:
                self._image.leave()
            raise


def _open_both(upper: int, image: int, name: bytes) -> tuple[int, int]:
    found = os.open(name, _DIRECTORY, dir_fd=upper)
    if image < 0:
        return found, -1
    try:
        return found, os.open(name, _DIRECTORY, dir_fd=image)
    except BaseException:
        os.close(found)
        raise


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
