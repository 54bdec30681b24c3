"""What an image has where a volume goes is copied into the volume, when that is new or empty (Docker's copy-up).

    image's view ──thread──▶ staging/volume.X ──commit──▶ volumes/NAME/_data        one rename

So a volume is empty or whole: what a crash, an image that goes or a client that leaves cuts short was in staging only.
One that lies elsewhere is filled where it is (far.py).
A volume that something is in is left alone, however it came there (CVE-2020-1726). Both sides are read and written by
descriptor: an image's links lead within the image.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wardian.engine.parts import Parts
from wardian.engine.volumes import far
from wardian.engine.volumes.points import Point, volumes_of
from wardian.engine.workers import work
from wardian.errors import SYSTEM, WardianError
from wardian.kernel.fds import sync_file_system
from wardian.kernel.mounts import Mount
from wardian.kernel.paths import open_in_root
from wardian.storage import IdMap, copy_owner, copy_tree, open_view, sync_directory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BETWEEN = 0.05
_NO_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Fill:
    """What is staged for one volume."""

    def __init__(self, parts: Parts, name: str, staged: str) -> None:
        self._parts = parts
        self._name = name
        self._staged = staged

    def commit(self) -> None:
        """Into the volume, unless something is in it by now. rename(2) puts a directory in an empty one's place, whole.

        Where a container that runs has that empty directory, it must see what comes: then its content is moved in.
        """
        target = self._parts.volumes.path(self._name)
        try:
            if self._mounted():
                self._move_content(target)
            else:
                os.rename(self._staged, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            sync_directory(os.path.dirname(target))

    def _mounted(self) -> bool:
        return any(
            one.state.live or one.lock.locked()
            for one in self._parts.registry
            if any(point["Name"] == self._name for point in volumes_of(one.config))
        )

    def _move_content(self, path: str) -> None:
        target = os.open(path, _DIRECTORY)
        try:
            source = os.open(self._staged, _DIRECTORY)
            try:
                if is_empty(target):
                    for name in os.listdir(source):
                        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
                    copy_owner(source, target)
            finally:
                os.close(source)
        finally:
            os.close(target)

    def discard(self) -> None:
        self._parts.volumes.unstage(self._staged)


def is_empty(directory: int) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is None


async def fill_all(parts: Parts, points: Iterable[Point], image: Mount, ids: IdMap) -> list[Fill]:
    """Stages what goes into the volumes of these points; volumes that are mounts of their own are filled at once."""
    near, far = [], []
    seen: set[str] = set()
    for point in points:
        if point["Type"] != "volume" or not point.get("copy") or point["Name"] in seen:
            continue
        seen.add(point["Name"])
        if point["mount"]["source"] != point["Source"]:
            far.append(point)
        elif os.path.isdir(point["Source"]) and not os.listdir(point["Source"]):
            near.append(point)
    fills: list[Fill] = []
    try:
        if near:
            await work(
                lambda tell: _stage_all(parts, image, near, fills, _seldom(lambda: tell({})), ids),
                _nothing,
                "wardian-fill",
            )
        for point in far:
            await _fill_far(parts, image, point, ids)
    except BaseException as error:
        for fill in fills:
            fill.discard()
        if isinstance(error, OSError):
            message = f"error while copying up files of the image: {error}"
            raise WardianError(SYSTEM, message, operation="create", errno=error.errno or 0) from error
        raise
    return fills


def _seldom(tell: Callable[[], None]) -> Callable[[], None]:
    """Not for each file: it wakes the event loop."""
    last = 0.0

    def alive() -> None:
        nonlocal last
        if time.monotonic() - last > _BETWEEN:
            last = time.monotonic()
            tell()

    return alive


def _nothing(message: dict[str, Any]) -> None:
    pass


def _stage_all(
    parts: Parts, image: Mount, points: Sequence[Point], fills: list[Fill], alive: Callable[[], None], ids: IdMap
) -> None:
    """In a thread of its own."""
    with open_view(image) as view:
        copied = False
        for point in points:
            source = _place_in(view.fd, point)
            if source < 0:
                continue
            try:
                alive()
                staged = parts.volumes.stage()
                fills.append(Fill(parts, point["Name"], staged))
                target = os.open(staged, _DIRECTORY)
                try:
                    copied |= not is_empty(source)
                    copy_tree(source, target, alive, ids)
                finally:
                    os.close(target)
            finally:
                os.close(source)
    if copied:
        sync_file_system(parts.home.staging)


def _place_in(root: int, point: Point) -> int:
    """The directory of the image where the volume goes, -1 when there is none."""
    try:
        return open_in_root(root, point["Destination"], _DIRECTORY)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
    try:
        fd = open_in_root(root, point["Destination"], os.O_PATH)
    except OSError:
        return -1
    try:
        if point.get("declared") and not stat.S_ISDIR(os.fstat(fd).st_mode):
            message = f"cannot mount volume over existing file, file exists {point['Destination']}"
            raise WardianError(SYSTEM, message, operation="create", subject=point["Destination"])
    finally:
        os.close(fd)
    return -1


async def _fill_far(parts: Parts, image: Mount, point: Point, ids: IdMap) -> None:
    """One that cannot be mounted is told by the start."""
    made = point["mount"]
    if made["type"] == "bind" and "ro" not in made["options"]:  # another file system comes with what is on it
        await far.fill_far(
            far.Fill(image, lambda root: _place_in(root, point), made["source"], ids, far.tag_of(parts.home))
        )
