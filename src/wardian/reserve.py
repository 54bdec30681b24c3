"""Space that is kept back for the day on which the data root is full: what gives space free needs some itself.

SQLite writes a page before it forgets one, and an engine that starts makes its shared index anew. DATA_ROOT/reserve
holds two mebibytes of real blocks. It is given up when the file system is nearly full, and made again when there is
space; meanwhile what would add to the state is refused, and what takes from it is not.
"""

import contextlib
import os

_SIZE = 2 << 20
_LOW = 1 << 20  # free bytes
_ENOUGH = 2 * _SIZE


class Reserve:
    """The file. None of its calls raises: without it the engine is as good as any other."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path = os.path.join(directory, "reserve")
        self._seen = False  # it is there: asked at every step of a container's life

    @property
    def short(self) -> bool:
        """There is no space for more. Once given up, the reserve comes first."""
        free = self._free()
        return free < _ENOUGH and (free < _LOW or not self.held)

    @property
    def held(self) -> bool:
        if not self._seen:
            with contextlib.suppress(OSError):
                self._seen = os.stat(self._path).st_size >= _SIZE
        return self._seen

    def give_up(self) -> bool:
        """False when there is none. What it is given up for must come at once: a container may be writing, too."""
        if not self.held:
            return False
        self._seen = False
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)
        return True

    def make(self) -> None:
        """If there is space for it, and for more."""
        if self.held or self._free() < _ENOUGH:
            return
        with contextlib.suppress(OSError):
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(fd, 0, _SIZE)
            except OSError:
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)

    def _free(self) -> int:
        """With what a file system keeps back for root: the engine is root, a container has no CAP_SYS_RESOURCE."""
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return _ENOUGH
        return found.f_bfree * found.f_frsize
