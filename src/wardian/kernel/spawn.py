"""posix_spawn(3) without Python's lock: the thread that calls stands still until the new program has its memory
(vfork(2)), the other threads do not. `os.posix_spawn` holds the lock meanwhile: milliseconds on a busy machine."""

import ctypes
import os
import signal
from collections.abc import Iterable, Sequence

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80  # spawn.h, of glibc and musl alike
_ROOM = 1024  # bytes; more than any libc's posix_spawnattr_t, posix_spawn_file_actions_t or sigset_t has

_libc = ctypes.CDLL(None)


def spawn(path: str, arguments: Sequence[str], control: int, as_number: int, defaults: Iterable[signal.Signals]) -> int:
    """A process in a session of its own, its standard streams /dev/null, `control` as descriptor `as_number`, the
    signals `defaults` as the kernel has them and none blocked, no environment. Returns its pid; it is our child.
    Raises OSError."""
    actions, attributes, signals = (ctypes.create_string_buffer(_ROOM) for _ in range(3))
    pid = ctypes.c_int()
    words = [word.encode() for word in arguments]
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    environment = (ctypes.c_char_p * 1)(None)
    _check(_libc.posix_spawn_file_actions_init(actions))
    _check(_libc.posix_spawnattr_init(attributes))
    try:
        _check(_libc.posix_spawn_file_actions_adddup2(actions, control, as_number))
        _check(_libc.posix_spawn_file_actions_addopen(actions, 0, b"/dev/null", os.O_RDWR, 0))
        for stream in (1, 2):
            _check(_libc.posix_spawn_file_actions_adddup2(actions, 0, stream))
        _libc.sigemptyset(signals)
        _check(_libc.posix_spawnattr_setsigmask(attributes, signals))
        for number in defaults:
            _libc.sigaddset(signals, int(number))
        _check(_libc.posix_spawnattr_setsigdefault(attributes, signals))
        _check(_libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)))
        _check(_libc.posix_spawn(ctypes.byref(pid), path.encode(), actions, attributes, argv, environment), path)
    finally:
        _libc.posix_spawn_file_actions_destroy(actions)
        _libc.posix_spawnattr_destroy(attributes)
    return pid.value


def _check(error: int, subject: str = "") -> None:
    """These return their error (posix_spawn(3))."""
    if error:
        raise OSError(error, os.strerror(error), subject or None)
