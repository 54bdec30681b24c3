"""A view: a root used by descriptor and never attached anywhere, gone when it is closed (design.md, "A view")."""

import os
from types import TracebackType

from wardian.kernel.mounts import Mount, attach_detached
from wardian.kernel.paths import open_in_root, read_in_root
from wardian.storage.locks import RootLock


class View:
    """An open detached mount, and the lock that goes with it when its upper is writable. A context manager."""

    def __init__(self, mount: Mount, lock: RootLock | None = None) -> None:
        """Takes over `lock`: it is released when the view closes, also when the mount fails."""
        self._lock = lock
        self.fd = -1
        try:
            self.fd = attach_detached(mount)
        except BaseException:
            self.close()
            raise

    def open(self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """A descriptor of `path` as a process in this root would resolve it."""
        return open_in_root(self.fd, path, flags, mode)

    def read(self, path: str | bytes, limit: int = 1 << 20) -> bytes:
        """The content of a regular file of at most `limit` bytes. Raises OSError."""
        return read_in_root(self.fd, path, limit)

    def close(self) -> None:
        """Unmount and let the lock go; calling it again does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "View":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_view(mount: Mount, lock: RootLock | None = None) -> View:
    """Open `mount` as a view. A mount with an upper wants the container's lock (`locks.lock_root`)."""
    assert lock is not None or not mount.upper, "a writable view without its container's lock"
    return View(mount, lock)
