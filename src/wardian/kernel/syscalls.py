"""System calls that Python's `os` lacks: by number, or by the name of libc's function, with OSError for a failure.

The one place that loads libc. Numbers from asm-generic/unistd.h: every call added since Linux 5.0 has the same number
on all architectures.
"""

import ctypes
import os

OPEN_TREE = 428
MOVE_MOUNT = 429
FSOPEN = 430
FSCONFIG = 431
FSMOUNT = 432
FSPICK = 433
PIDFD_OPEN = 434
CLONE3 = 435
CLOSE_RANGE = 436
OPENAT2 = 437
PIDFD_GETFD = 438
MOUNT_SETATTR = 442

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def call_libc(name: str, *arguments: "int | bytes | ctypes.Array[ctypes.c_char]", subject: str = "") -> int:
    """A function of libc that answers an int and sets errno: where a call's number differs between architectures."""
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}", subject or None)
    return result


def call(number: int, *arguments: int | bytes | None, subject: str | bytes = "") -> int:
    """`syscall(2)`: integers are passed as longs, bytes as pointers to them. Raises OSError naming `subject`."""
    raw = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result: int = _syscall(ctypes.c_long(number), *raw)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), subject or None)
    return result
