"""The one lock of a container's writable layer.

Two overlays on one upper are undefined, and the kernel does not refuse them. So who starts a container holds the lock
until its overlay is made and its state says so; who opens a view of a stopped container holds it until the view is
closed. It is flock(2) on the directory `containers/ID` itself (a file for it would cost every start 0.3 ms on ext4): it
ends with the last descriptor of its holder, so a killed engine leaves none behind.
"""

import errno
import fcntl
import os
import time
from types import TracebackType

from wardian.errors import CONFLICT, NOT_FOUND, WardianError
from wardian.home import Home

# What each lock of this process is held for: the lock itself is in the kernel, this is for the error of who is refused.
_purposes: dict[str, str] = {}


class RootLock:
    """A held lock. `fd` may be inherited: the lock lives until every copy is closed. A context manager."""

    def __init__(self, fd: int, path: str, purpose: str) -> None:
        self.fd = fd
        self._path = path
        _purposes[path] = purpose

    def release(self) -> None:
        """Let go; calling it again does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            _purposes.pop(self._path, None)
            os.close(fd)

    def __enter__(self) -> "RootLock":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def lock_root(home: Home, container_id: str, purpose: str, deadline: float = 0.0) -> RootLock:
    """Hold the container's writable layer for `purpose` ("start", "cp", "diff" …: shown to whoever is refused).

    Waits at most `deadline` seconds. Raises CONFLICT naming the holder's purpose, NOT_FOUND for a container
    without a directory.
    """
    path = home.container(container_id)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        message = f"container {container_id[:12]} has no files on disk"
        raise WardianError(NOT_FOUND, message, operation=purpose, subject=container_id) from None
    try:
        _acquire(fd, time.monotonic() + deadline)
    except BlockingIOError:
        os.close(fd)
        holder = _purposes.get(path, "another process")
        message = f"cannot {purpose} container {container_id[:12]}: its files are in use by: {holder}"
        raise WardianError(
            CONFLICT, message, operation=purpose, subject=container_id, errno=errno.EWOULDBLOCK
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return RootLock(fd, path, purpose)


def _acquire(fd: int, until: float) -> None:
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.005)
