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

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = "security.capability"


class Difference(NamedTuple):
    """`path` begins with a slash."""

    path: bytes
    kind: int


def differences(upper: int, image: int, left_out: Collection[bytes] = ()) -> list[Difference]:
    """By descriptors of the upper directory and of the image's root. `left_out` are paths without their first slash.

    Sorted so that a directory comes before what is in it.
    """
    return list(_below(upper, image, b"/", False, left_out))


def _below(
    upper: int, image: int | None, path: bytes, opaque: bool, left_out: Collection[bytes]
) -> Iterator[Difference]:
    """Of one directory: `image` is the same directory there, None where the image has none."""
    there = set(map(os.fsencode, os.listdir(upper)))
    hidden = set(map(os.fsencode, os.listdir(image))) - there if image is not None and opaque else set()
    for name in sorted(there | hidden):
        full = path + name
        if full[1:] in left_out:
            continue
        try:
            if name in hidden:
                yield Difference(full, DELETED)
            else:
                yield from _entry(upper, image, name, full, opaque, left_out)
        except (FileNotFoundError, NotADirectoryError):  # its container runs, and took it away just now
            continue


def _entry(
    upper: int, image: int | None, name: bytes, path: bytes, opaque: bool, left_out: Collection[bytes]
) -> Iterator[Difference]:
    status = os.stat(name, dir_fd=upper, follow_symlinks=False)
    before = _status(image, name)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # overlayfs(rst): a whiteout
        if before is not None:
            yield Difference(path, DELETED)
        return
    itself = [] if before is not None and _same(upper, image, name, status, before) else [_said(path, before)]
    is_directory = stat.S_ISDIR(status.st_mode)
    was_directory = before is not None and stat.S_ISDIR(before.st_mode)
    if not is_directory:
        yield from itself
        if was_directory:
            yield from _all_gone(image, name, path)
        return
    fd = os.open(name, _DIRECTORY, dir_fd=upper)
    lower = os.open(name, _DIRECTORY, dir_fd=image) if was_directory and image is not None else None
    try:
        inside = list(_below(fd, lower, path + b"/", opaque or xattrs.is_opaque(fd), left_out))
    finally:
        os.close(fd)
        if lower is not None:
            os.close(lower)
    if inside and not itself:
        itself = [Difference(path, CHANGED)]
    yield from itself
    yield from inside


def _said(path: bytes, before: os.stat_result | None) -> Difference:
    return Difference(path, ADDED if before is None else CHANGED)


def _all_gone(image: int | None, name: bytes, path: bytes) -> Iterator[Difference]:
    """What was in a directory that is none any more."""
    fd = os.open(name, _DIRECTORY, dir_fd=image)
    try:
        for child in sorted(map(os.fsencode, os.listdir(fd))):
            yield Difference(path + b"/" + child, DELETED)
    finally:
        os.close(fd)


def _status(image: int | None, name: bytes) -> os.stat_result | None:
    if image is None:
        return None
    try:
        return os.stat(name, dir_fd=image, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _same(upper: int, image: int | None, name: bytes, now: os.stat_result, before: os.stat_result) -> bool:
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
    if not stat.S_ISREG(now.st_mode) or image is None:
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
