"""How much a tree holds: the sum of file sizes as `ls` shows them, each inode once.

The tree may be a running container's, which renames while it is read: every directory is opened below the tree's own
descriptor, through no link, so that one that became a link meanwhile leads nowhere.
"""

import os

from wardian.kernel.paths import open_beneath

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def tree_size(path: str) -> int:
    """Bytes in all regular files and links below `path`; 0 when it is not there. Follows nothing, tolerates changes."""
    try:
        root = os.open(path, _DIRECTORY)
    except OSError:
        return 0
    total = 0
    seen: set[int] = set()
    pending: list[str] = ["."]
    try:
        while pending:
            total += _level(root, pending.pop(), pending, seen)
    finally:
        os.close(root)
    return total


def _level(root: int, path: str, pending: list[str], seen: set[int]) -> int:
    """Bytes in one directory; its subdirectories are appended to `pending`."""
    try:
        fd = open_beneath(root, path, _DIRECTORY)
    except OSError:  # removed or replaced meanwhile, or deeper than PATH_MAX: what no path reaches is not counted
        return 0
    total = 0
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{path}/{entry.name}")
                else:
                    total += _size_once(entry, seen)
    except OSError:  # a disk that fails: the rest of the tree still counts
        pass
    finally:
        os.close(fd)
    return total


def _size_once(entry: "os.DirEntry[str]", seen: set[int]) -> int:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    if status.st_nlink > 1:
        if status.st_ino in seen:
            return 0
        seen.add(status.st_ino)
    return status.st_size
