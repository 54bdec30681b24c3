"""Where new directories are made before they get their names: on ext4 without a journal, far from one another.

A directory and what is in it come into the block group of the parent. Without a journal, as a sandbox's or a cloud
machine's file system may be, ext4 gives no inode out again that was deleted within the last minutes, and for each new
file it reads through all such of the group (fs/ext4/ialloc.c, recently_deleted): where containers come and go at a
hundred a second, a fifth of all the time goes there. What has the flag T (chattr(1), "top of directory hierarchies")
has its subdirectories in groups apart, and what was made in one of these stays in its group when it is renamed.
"""

import contextlib
import errno
import fcntl
import itertools
import os
import secrets
import struct

_APART = "apart"
_PLACES = 32
_GETFLAGS, _SETFLAGS = 0x8008_6601, 0x4008_6602  # linux/fs.h, FS_IOC_*
_TOPDIR = 0x0002_0000  # FS_TOPDIR_FL


class Places:
    """`directory`, or places apart below it. Thread-safe. Whoever sweeps `directory` sweeps these too."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._apart = os.path.join(directory, _APART)
        self._spread: bool | None = None
        self._numbers = itertools.count()

    def fresh(self) -> str:
        """A path on which nothing is, for a directory that is made there and renamed. Raises OSError."""
        where = self._directory
        if self._is_spread():
            where = os.path.join(self._apart, str(next(self._numbers) % _PLACES))
            self._make_place(where)
        return os.path.join(where, f"spare.{secrets.token_hex(8)}")

    def make(self, target: str, mode: int) -> None:
        """The directory `target`, on the same file system. Raises OSError; FileExistsError when something is in it."""
        if not self._is_spread():
            os.mkdir(target, mode)
            return
        path = self.fresh()
        os.mkdir(path, mode)
        try:
            os.rename(path, target)
        except OSError as error:
            os.rmdir(path)
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
            raise

    def _is_spread(self) -> bool:
        if self._spread is None:
            self._spread = _passes_over_deleted(self._directory)
        return self._spread

    def _make_place(self, where: str) -> None:
        try:
            os.mkdir(where, 0o711)
        except FileExistsError:
            return
        except FileNotFoundError:
            os.makedirs(self._apart, mode=0o711, exist_ok=True)
            _mark_as_top(self._apart)
            os.makedirs(where, mode=0o711, exist_ok=True)


def _passes_over_deleted(directory: str) -> bool:
    """Whether it is on an ext4 without a journal."""
    device = os.stat(directory).st_dev
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
        with open(f"/sys/fs/ext4/{name}/journal_task") as file:
            return file.read().strip() == "<none>"
    except OSError:
        return False


def _mark_as_top(directory: str) -> None:
    """Where the file system takes no flags (ioctl_iflags(2)) the places are as near as others: slower, and no harm."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            (flags,) = struct.unpack("l", fcntl.ioctl(fd, _GETFLAGS, bytes(struct.calcsize("l"))))
            fcntl.ioctl(fd, _SETFLAGS, struct.pack("l", flags | _TOPDIR))
    finally:
        os.close(fd)
