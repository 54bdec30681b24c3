"""How libc's allocator keeps memory (mallopt(3))."""

import contextlib

from wardian.kernel.syscalls import call_libc

_M_ARENA_MAX = -8  # malloc.h


def bound_arenas(most: int) -> None:
    """No more than so many arenas. Unbounded, each thread gets one of its own, up to eight a processor, and what is
    freed in one is of no use to another. Only glibc knows this."""
    with contextlib.suppress(AttributeError, OSError):
        call_libc("mallopt", _M_ARENA_MAX, most)
