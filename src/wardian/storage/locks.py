"""The one lock of a container's writable layer.

Two overlays on one upper are undefined, and the kernel does not refuse them. So who starts a container holds the lock
until its overlay is made and its state says so; who opens a view of a stopped container holds it until the view is
closed. It is flock(2) on `containers/ID/lock`: it ends with the last descriptor of its holder, so a killed engine
leaves none behind.
"""

import errno
import fcntl
import os
import time
from types import TracebackType

from wardian.errors import CONFLICT, NOT_FOUND, WardianError
from wardian.home import Home


class RootLock:
    """A held lock. `fd` may be inherited: the lock lives until every copy is closed. A context manager."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def release(self) -> None:
        """Let go; calling it again does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
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
    path = os.path.join(home.container(container_id), "lock")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        raise WardianError(
            NOT_FOUND, f"container {container_id[:12]} has no files on disk", operation=purpose, subject=container_id
        ) from None
    try:
        _acquire(fd, time.monotonic() + deadline)
        os.ftruncate(fd, 0)
        os.pwrite(fd, purpose.encode(), 0)
    except BlockingIOError:
        holder = os.pread(fd, 100, 0).decode(errors="replace") or "another operation"
        os.close(fd)
        raise WardianError(
            CONFLICT,
            f"cannot {purpose} container {container_id[:12]}: its files are in use by: {holder}",
            operation=purpose,
            subject=container_id,
            errno=errno.EWOULDBLOCK,
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return RootLock(fd)


def _acquire(fd: int, until: float) -> None:
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.005)
