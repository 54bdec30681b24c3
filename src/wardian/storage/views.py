"""A view: a root used by descriptor and never attached anywhere, gone when it is closed (design.md, "A view")."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from wardian.errors import CONFLICT, SYSTEM, WardianError
from wardian.kernel import pidfd
from wardian.kernel.mounts import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    OPEN_TREE_CLONE,
    Mount,
    attach_detached,
    move_mount,
    open_tree,
    set_attributes,
    unshare_mounts,
)
from wardian.kernel.paths import make_in_root, open_in_root, read_in_root
from wardian.storage.locks import RootLock


class Bind(NamedTuple):
    """A path of the host at a path of the view; with `part` what lies there below it, resolved within it."""

    source: str
    destination: str
    recursive: bool = True
    read_only: bool = False
    part: str = ""


class Tree(NamedTuple):
    """A detached copy of the mounts that a bind shows, and where it goes."""

    fd: int
    destination: str
    is_directory: bool


def open_trees(binds: Sequence[Bind], at: Callable[[str], None] = lambda path: None) -> list[Tree]:
    """What `binds` show; what is not there (a name file before the first start, a removed directory) shows nothing.

    A source on a file system that is gone holds this up, and then nothing of the view: `at` is called before each.
    """
    found: list[Tree] = []
    try:
        for bind in binds:
            at(bind.source)
            with contextlib.suppress(FileNotFoundError):
                found.append(_open_tree(bind))
        at("")
    except BaseException:
        close_trees(found)
        raise
    return found


def close_trees(trees: Sequence[Tree]) -> None:
    """Those that were attached stay so."""
    for tree in trees:
        os.close(tree.fd)


class View:
    """An open detached mount, and the lock that goes with it when its upper is writable. A context manager."""

    def __init__(self, mount: Mount | None, lock: RootLock | None = None, fd: int = -1, userns: int = -1) -> None:
        """Takes over `lock`: it is released when the view closes, also when the mount fails. Without a mount, `fd` is
        the root, and becomes the view's."""
        self._lock = lock
        self._namespace = -1
        self.fd = fd
        try:
            if mount is not None:
                self.fd = attach_detached(mount, userns)
        except BaseException:
            self.close()
            raise

    def attach(self, trees: Sequence[Tree]) -> None:
        """Show paths of the host (`open_trees`) where the container would see them; a place that is missing is made.

        Nobody else sees these mounts, and none is left behind: below Linux 6.15, where nothing is attached to a
        detached mount, they live in a mount namespace that only this view has.
        """
        left = list(trees)
        while left:
            try:
                _attach(self.fd, left[0])
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EINVAL or self._namespace >= 0:
                    raise
                self._namespace = in_own_namespace(self.fd, left)
                return
            left.pop(0)

    def open(self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """A descriptor of `path` as a process in this root would resolve it."""
        return open_in_root(self.fd, path, flags, mode)

    def read(self, path: str | bytes, limit: int = 1 << 20) -> bytes:
        """The content of a regular file of at most `limit` bytes. Raises OSError."""
        return read_in_root(self.fd, path, limit)

    def close(self) -> None:
        """Unmount and let the lock go; calling it again does nothing."""
        fds, self.fd, self._namespace = (self.fd, self._namespace), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "View":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_view(mount: Mount, lock: RootLock | None = None, userns: int = -1) -> View:
    """Open `mount` as a view. A mount with an upper wants the container's lock (`locks.lock_root`). `userns`: that of
    a container whose layers are seen by its ids; it stays the caller's."""
    assert lock is not None or not mount.upper, "a writable view without its container's lock"
    return View(mount, lock, userns=userns)


def open_layers(mount: Mount, destination: str, part: str, userns: int = -1) -> Tree:
    """An overlay that nothing is written to, or (since Linux 6.15) the `part` of it that is shown."""
    with open_view(mount, userns=userns) as view:
        if not part:
            return Tree(os.dup(view.fd), destination, True)
        found = view.open(part, os.O_PATH)
        try:
            fd = open_tree("", OPEN_TREE_CLONE | AT_EMPTY_PATH, found)
            return Tree(fd, destination, stat.S_ISDIR(os.fstat(found).st_mode))
        finally:
            os.close(found)


def _open_tree(bind: Bind) -> Tree:
    fd = _tree(bind)
    try:
        if bind.read_only:
            set_attributes(fd, MOUNT_ATTR_RDONLY, recursive=bind.recursive)
        # What is attached in it is attached to no copy of it on the host (mount_namespaces(7), peer groups).
        set_attributes(fd, 0, recursive=True, propagation=MS_PRIVATE)
        return Tree(fd, bind.destination, stat.S_ISDIR(os.fstat(fd).st_mode))
    except BaseException:
        os.close(fd)
        raise


def _attach(root: int, tree: Tree) -> None:
    place = make_in_root(root, tree.destination, directory=tree.is_directory)
    try:
        move_mount(tree.fd, place)
    finally:
        os.close(place)


def _tree(bind: Bind) -> int:
    """A detached copy of the mounts that `bind` shows."""
    flags = OPEN_TREE_CLONE | (AT_RECURSIVE if bind.recursive else 0)
    if not bind.part:
        return open_tree(bind.source, flags)
    whole = os.open(bind.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        part = open_in_root(whole, bind.part, os.O_PATH)  # containers write there: a link leads nowhere else
        try:
            return open_tree("", flags | AT_EMPTY_PATH, part)
        finally:
            os.close(part)
    finally:
        os.close(whole)


def in_own_namespace(root: int, trees: Sequence[Tree]) -> int:
    """Attach `trees` to the detached mount `root` in a mount namespace of its own; returns what keeps that one.

    A thread makes it (mount_namespaces(7): unshare(2) is each thread's own) and ends. Its root stays where it was.
    """
    found: list[int | BaseException] = []

    def make() -> None:
        try:
            unshare_mounts()
            top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                move_mount(root, top)
            finally:
                os.close(top)
            for tree in trees:
                with contextlib.suppress(FileNotFoundError):
                    _attach(root, tree)
            found.append(os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=make, name="wardian-view")
    thread.start()
    thread.join()
    answer = found[0]
    if isinstance(answer, BaseException):
        raise answer
    return answer


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
