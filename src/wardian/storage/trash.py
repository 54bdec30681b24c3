"""Removal that the caller does not wait for: a rename now, the deleting in a background thread.

What a container left is hostile: trees deeper than any stack or descriptor limit, names that are not text, links to
anywhere. Deleting goes by descriptor, follows nothing, keeps few descriptors open and never recurses.
"""

import contextlib
import errno
import logging
import os
import queue
import secrets
import stat
import threading
import time

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0
_TRIES = 20
_AGAIN = 0.005
_MAX_DEPTH = 64  # a directory that lies deeper is first moved up to the trash itself


class Trash:
    """A directory whose entries are on their way out. Thread-safe. Its thread starts with the first `discard`."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)
        self._queue: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def discard(self, path: str) -> bool:
        """Take `path` (same file system) out of its place at once; False when nothing is there. Its blocks go later."""
        name = f"{os.path.basename(path)}.{secrets.token_hex(4)}"
        try:
            os.rename(path, os.path.join(self.path, name))
        except FileNotFoundError:
            return False
        self._hand_over(self.path, name)
        return True

    def delete_later(self, path: str) -> None:
        """Of any file system, at its own place, which nobody takes again. What an engine's end leaves of it is the
        caller's to find."""
        self._hand_over(*os.path.split(path))

    def sweep(self) -> None:
        """Hand over what an earlier engine left undeleted. Called once at start."""
        for name in os.listdir(self.path):
            self._hand_over(self.path, name)

    def close(self) -> None:
        """Wait until all that was discarded is gone, or a moment: the next start goes on with the rest."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(_CLOSE_SECONDS)
            if thread.is_alive():
                log.info("trash: what is left in %s is deleted by the next start", self.path)

    def _hand_over(self, parent: str, name: str) -> None:
        self._queue.put((parent, name))
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="wardian-trash", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while (place := self._queue.get()) is not None:
            try:
                _remove_as_it_fills(*place)
            except FileNotFoundError:
                pass
            except OSError as error:  # an immutable file, say: it stays here and the next start tries again
                log.warning("trash: cannot delete %s: %s", place[1], error)


def _remove_as_it_fills(parent: str, name: str) -> None:
    """Somebody may have been about to write there when it was taken away: the record of a start, say."""
    for left in reversed(range(_TRIES)):
        try:
            remove_tree(parent, name)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not left:
                raise
            time.sleep(_AGAIN)
        else:
            return


def remove_tree(parent: str, name: str) -> None:
    """Delete `parent/name`, whatever it is. `parent` must be writable: deep directories are moved up into it."""
    parent_fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_at(parent_fd, os.fsencode(name))
    finally:
        os.close(parent_fd)


def remove_at(dir_fd: int, name: bytes) -> None:
    """The same, by the descriptor of the directory that holds it."""
    pending = [name]
    while pending:
        _remove_one(dir_fd, pending.pop(), pending)


def empty_at(dir_fd: int, name: bytes) -> None:
    """Delete what is in a directory, as far as that goes: others may write there meanwhile, or do the same."""
    with contextlib.suppress(OSError):
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            for child in os.listdir(fd):
                with contextlib.suppress(OSError):
                    remove_at(fd, os.fsencode(child))
        finally:
            os.close(fd)


def _remove_one(top_fd: int, name: bytes, deeper: list[bytes]) -> None:
    """Delete one entry of `top_fd`; what lies below _MAX_DEPTH is renamed into `top_fd` and appended to `deeper`."""
    if not _is_directory(top_fd, name):
        os.unlink(name, dir_fd=top_fd)
        return
    # Each stack item: descriptor of a directory, its name in the one below, its subdirectories still to visit.
    stack = [_open_level(top_fd, name)]
    try:
        while stack:
            fd, own_name, todo = stack[-1]
            if not todo:
                stack.pop()
                os.close(fd)
                os.rmdir(own_name, dir_fd=stack[-1][0] if stack else top_fd)
            elif len(stack) < _MAX_DEPTH:
                stack.append(_open_level(fd, todo.pop()))
            else:
                moved = b"deep.%s" % secrets.token_hex(8).encode()
                os.rename(todo.pop(), moved, src_dir_fd=fd, dst_dir_fd=top_fd)
                deeper.append(moved)
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def _open_level(dir_fd: int, name: bytes) -> tuple[int, bytes, list[bytes]]:
    """Open a directory, unlink all in it that is not a directory, and return what is left to visit."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        directories: list[bytes] = []
        with os.scandir(fd) as entries:
            found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for child, is_directory in found:
            if is_directory:
                directories.append(child)
            else:
                with contextlib.suppress(FileNotFoundError):  # whose it was took it along
                    os.unlink(child, dir_fd=fd)
    except BaseException:
        os.close(fd)
        raise
    return fd, name, directories


def _is_directory(dir_fd: int, name: bytes) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
