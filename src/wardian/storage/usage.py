"""How much a tree holds: the sum of file sizes as `ls` shows them, each inode once."""

import os


def tree_size(path: str) -> int:
    """Bytes in all regular files and links below `path`; 0 when it is not there. Follows nothing, tolerates changes."""
    total = 0
    seen: set[int] = set()
    pending: list[str] = [path]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += _size_once(entry, seen)
        except OSError:  # removed meanwhile, or deeper than PATH_MAX: what cannot be reached by path is not counted
            continue
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
