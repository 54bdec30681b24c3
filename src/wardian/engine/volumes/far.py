"""Copy-up into a volume that lies elsewhere: a directory of the user's, perhaps of a server (NFS, FUSE) that hangs.

    image's view ──thread──▶ PLACE/.wardian-fill.TAG ──rename──▶ PLACE/.wardian-filled.TAG ──its entries──▶ PLACE

There is no staging beside such a volume, so it is in it. Whatever cuts this short, the next use goes on from there:
what has the first name is half and is thrown away, what has the second is whole and is moved. Nothing of anybody else's
is removed or written over. TAG is this engine's: another host's may be filling the same directory.

Who waits for a fill has a deadline since its last step, not for all of it, and others wait for the same place only.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from wardian.engine.deadline import At, look
from wardian.engine.workers import Abandoned, work
from wardian.errors import SYSTEM, WardianError
from wardian.home import Home
from wardian.kernel.mounts import Mount, attach_detached
from wardian.kernel.paths import open_in_root
from wardian.storage import IdMap, copy_owner, copy_tree, open_view, remove_at

log = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds without a step: a server may take its time to write what it has taken
_HALF, _WHOLE = ".wardian-fill.", ".wardian-filled."
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_under_way: dict[str, "_Filling"] = {}


class Fill(NamedTuple):
    """What goes where: the directory that `find` opens in a view of the image, -1 where there is none."""

    image: Mount
    find: Callable[[int], int]
    place: str
    ids: IdMap
    tag: str


def tag_of(home: Home) -> str:
    """The same for each engine on this data root of this host."""
    return hashlib.sha256(f"{os.uname().nodename}\0{home.data_root}".encode()).hexdigest()[:16]


async def fill_far(fill: Fill) -> None:
    """Raises WardianError when the place does not answer, OSError for what cannot be written."""
    while other := _under_way.get(fill.place):
        await other.end()
    if await look(lambda at: _is_wanted(fill, at), "create", fill.place):
        if fill.place in _under_way:  # another create came first meanwhile
            return await fill_far(fill)
        one = _under_way[fill.place] = _Filling(fill)
        await one.end()
        one.task.result()
    return None


class _Filling:
    """One that is under way, until its thread has ended, whoever waits for it."""

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        self._given_up = False
        self._step = time.monotonic()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # perhaps nobody waits any more

    async def _run(self) -> None:
        try:
            await work(lambda _: _copy(self._fill, self._alive), lambda _: None, "wardian-fill")
        finally:
            del _under_way[self._fill.place]

    def _alive(self) -> None:
        """In the thread, at each step."""
        if self._given_up:
            raise Abandoned
        self._step = time.monotonic()

    async def end(self) -> None:
        """Raises WardianError once nothing has come of it for too long."""
        while not self.task.done():
            left = self._step + PATIENCE - time.monotonic()
            if left <= 0:
                self._given_up = True
                place = self._fill.place
                message = f"{place} does not answer: nothing could be written to it for {PATIENCE:g} s"
                raise WardianError(SYSTEM, message, operation="create", subject=place)
            await asyncio.wait([self.task], timeout=left)


def _is_wanted(fill: Fill, at: At) -> bool:
    at(fill.place)
    try:
        fd = os.open(fill.place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False  # the start says what is wrong with it
    try:
        return _exists(fd, _WHOLE + fill.tag) or _is_free(fd)
    finally:
        os.close(fd)


def _is_free(directory: int) -> bool:
    """Whether nothing is in it but what fills were cut short."""
    with os.scandir(directory) as entries:
        return all(entry.name.startswith(_HALF) for entry in entries)


def _copy(fill: Fill, alive: Callable[[], None]) -> None:
    """In a thread: each call here may never return."""
    with open_view(fill.image) as view:
        source = fill.find(view.fd)
        if source < 0:
            return
        try:
            root = attach_detached(Mount("bind", fill.place))
            try:
                top = open_in_root(root, ".", _DIRECTORY)
            finally:
                os.close(root)
            try:
                if not _exists(top, _WHOLE + fill.tag):
                    if not _is_free(top):
                        return
                    _stage(fill, source, top, alive)
                _move(top, fill, alive)
            finally:
                os.close(top)
        finally:
            os.close(source)


def _stage(fill: Fill, source: int, top: int, alive: Callable[[], None]) -> None:
    half = _HALF + fill.tag
    if _exists(top, half):
        remove_at(top, half.encode())
    os.mkdir(half, 0o700, dir_fd=top)
    try:
        staged = os.open(half, _DIRECTORY, dir_fd=top)
        try:
            copy_tree(source, staged, alive, fill.ids)
        finally:
            os.close(staged)
        os.rename(half, _WHOLE + fill.tag, src_dir_fd=top, dst_dir_fd=top)
    except BaseException:
        try:
            remove_at(top, half.encode())
        except OSError as error:
            log.warning("what was copied into %s is left in %s there: %s", fill.place, half, error)
        raise


def _move(top: int, fill: Fill, alive: Callable[[], None]) -> None:
    whole = _WHOLE + fill.tag
    staged = os.open(whole, _DIRECTORY, dir_fd=top)
    try:
        for name in os.listdir(staged):
            alive()
            if _exists(top, name):
                log.warning("%s of the image is not copied into %s: somebody made it there meanwhile", name, fill.place)
            else:
                os.rename(name, name, src_dir_fd=staged, dst_dir_fd=top)
        copy_owner(staged, top)
    finally:
        os.close(staged)
    remove_at(top, whole.encode())


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
