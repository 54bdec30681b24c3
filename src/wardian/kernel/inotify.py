"""inotify(7): hear of changes to a file without asking again and again."""

import os

from wardian.kernel.syscalls import call_libc

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CREATE = 0x100
IN_MOVED_TO = 0x80


def watch(path: str, mask: int) -> int:
    """A descriptor that becomes readable when something of `mask` happens to `path`. Raises OSError."""
    fd = call_libc("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK, subject=path)
    try:
        call_libc("inotify_add_watch", fd, os.fsencode(path), mask, subject=path)
    except OSError:
        os.close(fd)
        raise
    return fd


def drain(fd: int) -> None:
    """Read what is there: which events they were does not matter to a reader that looks at the file anyway."""
    try:
        while os.read(fd, 65536):
            pass
    except BlockingIOError:
        pass
