"""inotify(7): hear of changes to a file without asking again and again."""

import ctypes
import os

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CREATE = 0x100
IN_MOVED_TO = 0x80

_libc = ctypes.CDLL(None, use_errno=True)


def watch(path: str, mask: int) -> int:
    """A descriptor that becomes readable when something of `mask` happens to `path`. Raises OSError."""
    fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        _raise("inotify_init1", path)
    if _libc.inotify_add_watch(fd, os.fsencode(path), mask) < 0:
        number = ctypes.get_errno()
        os.close(fd)
        ctypes.set_errno(number)
        _raise("inotify_add_watch", path)
    return int(fd)


def drain(fd: int) -> None:
    """Read what is there: which events they were does not matter to a reader that looks at the file anyway."""
    try:
        while os.read(fd, 65536):
            pass
    except BlockingIOError:
        pass


def _raise(call: str, path: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}", path)
