"""A way down a tree of somebody else's, as deep as they made it, with a bounded number of descriptors.

    root ─ … closed … ─ the last _OPEN directories

What was closed is opened again on the way back, as `..` of the directory below it, which is open then and so keeps its
parents as they are known to the kernel. It must be the same directory as on the way down (device and inode): one that
was moved elsewhere meanwhile has other parents, perhaps outside of the tree, and ends the reading.
"""

import errno
import os

_OPEN = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Descent:
    """`at` is the directory in which we are. To be closed."""

    def __init__(self, root: int) -> None:
        """The descriptor `root` stays its owner's."""
        self._fds = [os.dup(root)]
        self._known = [_identity(root)]

    @property
    def at(self) -> int:
        return self._fds[-1]

    def enter(self, fd: int) -> None:
        """Into the directory `fd`, which is in the one where we are. Takes it over."""
        self._fds.append(fd)
        self._known.append(_identity(fd))
        above = len(self._fds) - _OPEN
        if above > 0:  # the root stays
            os.close(self._fds[above])
            self._fds[above] = -1

    def leave(self) -> None:
        """Back into the one above it. Raises OSError(ESTALE) when the directory has been moved out of that."""
        fd = self._fds.pop()
        self._known.pop()
        try:
            if self._fds and self._fds[-1] < 0:
                self._fds[-1] = self._above(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        for fd in self._fds:
            if fd >= 0:
                os.close(fd)
        self._fds.clear()

    def _above(self, fd: int) -> int:
        found = os.open("..", _DIRECTORY, dir_fd=fd)
        if _identity(found) != self._known[-1]:
            os.close(found)
            raise OSError(errno.ESTALE, "a directory was moved while the tree was read")
        return found


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
