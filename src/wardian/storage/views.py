"""A view: a root used by descriptor and never attached anywhere, gone when it is closed (design.md, "A view")."""

import errno
import os
from types import TracebackType

from wardian.errors import CONFLICT, NOT_IMPLEMENTED, SYSTEM, WardianError
from wardian.kernel import pidfd
from wardian.kernel.mounts import (
    AT_RECURSIVE,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
    Mount,
    attach_detached,
    move_mount,
    open_tree,
    set_attributes,
)
from wardian.kernel.paths import make_in_root, open_in_root, read_in_root
from wardian.storage.locks import RootLock


class View:
    """An open detached mount, and the lock that goes with it when its upper is writable. A context manager."""

    def __init__(self, mount: Mount | None, lock: RootLock | None = None, fd: int = -1) -> None:
        """Takes over `lock`: it is released when the view closes, also when the mount fails. Without a mount, `fd` is
        the root, and becomes the view's."""
        self._lock = lock
        self.fd = fd
        try:
            if mount is not None:
                self.fd = attach_detached(mount)
        except BaseException:
            self.close()
            raise

    def attach(self, source: str, destination: str, *, recursive: bool = True, read_only: bool = False) -> None:
        """Show the host's `source` at `destination`, as the container would see it; the place is made when missing.

        Private to this view: nothing of it is seen by anybody else, or left behind.
        """
        mount = open_tree(source, OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0))
        try:
            if read_only:
                set_attributes(mount, MOUNT_ATTR_RDONLY, recursive=recursive)
            place = make_in_root(self.fd, destination, directory=os.path.isdir(source))
            try:
                move_mount(mount, place)
            finally:
                os.close(place)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            message = f"the files of a stopped container with a mount at {destination} need Linux 6.15"
            hint = "start the container: the mounts of a running one are seen on every kernel"
            raise WardianError(NOT_IMPLEMENTED, message, operation="view", subject=destination, hint=hint) from error
        finally:
            os.close(mount)

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


def open_process_root(pid: int, start_time: int, lock: RootLock | None = None) -> View:
    """The root of a running process as it sees it itself, with all that is mounted there. Takes over `lock`.

    /proc/PID/root is followed once, here: /proc is the kernel's and not the container's. The process is held by a pidfd
    meanwhile, so that what was opened is its root and not that of a later process with its number.
    """
    view = View(None, lock)
    try:
        process = os.pidfd_open(pid)
        try:
            view.fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if not pidfd.same_process(pid, start_time):
                raise ProcessLookupError
        finally:
            os.close(process)
    except (ProcessLookupError, FileNotFoundError) as error:
        view.close()
        raise WardianError(CONFLICT, f"process {pid} has ended", operation="view", errno=errno.ESRCH) from error
    except OSError as error:
        view.close()
        message = f"the root of process {pid} cannot be opened: {error.strerror}"
        raise WardianError(SYSTEM, message, operation="view", errno=error.errno or 0) from error
    return view
