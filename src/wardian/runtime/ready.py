"""Launchers as processes: how one is started, and one that is started before there is a plan for it.

To start a process takes a fifth of a millisecond on an idle machine and several on a busy one, in which the event loop
stands still. So an engine has one launcher that waits for the next plan (`keep_ready`): it is taken at once, and
another is started a moment later, off the way. It has nothing but its socket, and ends with it: also when its engine is
killed.
"""

import asyncio
import contextlib
import os
import signal
import socket
import weakref
from typing import NamedTuple

from wardian.errors import UNAVAILABLE, WardianError
from wardian.runtime.program import protected

_NEXT_AFTER = 0.003  # seconds from one's taking to the start of the next
# What Python ignores or a terminal may have set: the container starts with the kernel's defaults.
_DEFAULT_SIGNALS = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD,
)  # fmt: skip


class Launcher(NamedTuple):
    """A process, ours to reap, that reads a plan from the other end of `control`."""

    control: socket.socket
    process: int


class _Waiting:
    """What an event loop has in store."""

    def __init__(self) -> None:
        self.launcher: Launcher | None = None
        self.timer: asyncio.TimerHandle | None = None


_waiting: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting]" = weakref.WeakKeyDictionary()


def launcher_path() -> str:
    """The program that `pip install` compiled into the package."""
    return os.path.join(os.path.dirname(os.path.dirname(__file__)), "_bin", "wardian-launcher")


def keep_ready() -> None:
    """From now on one waits for the next plan of this event loop, until `keep_none`."""
    loop = asyncio.get_running_loop()
    _refill(_waiting.setdefault(loop, _Waiting()))


def keep_none() -> None:
    waiting = _waiting.pop(asyncio.get_running_loop(), None)
    if waiting is None:
        return
    if waiting.timer is not None:
        waiting.timer.cancel()
    if waiting.launcher is not None:
        waiting.launcher.control.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(waiting.launcher.process, signal.SIGKILL)
            os.waitpid(waiting.launcher.process, 0)


def take() -> Launcher:
    """The one that waits, or a new one. Raises WardianError(UNAVAILABLE) when the program is not there."""
    loop = asyncio.get_running_loop()
    waiting = _waiting.get(loop)
    if waiting is None:
        return start()
    found, waiting.launcher = waiting.launcher, None
    if waiting.timer is None:
        waiting.timer = loop.call_later(_NEXT_AFTER, _refill, waiting)
    if found is not None and _lives(found):
        return found
    return start()


def _refill(waiting: _Waiting) -> None:
    waiting.timer = None
    if waiting.launcher is None:
        with contextlib.suppress(OSError, WardianError):  # who takes one hears why
            waiting.launcher = start()


def _lives(launcher: Launcher) -> bool:
    """It may have been killed while it waited."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(launcher.process, os.WNOHANG) == (0, 0):
            return True
    launcher.control.close()
    return False


def start(*words: str) -> Launcher:
    """A new one. `words` are for another task than a plan (launcher/spaces.c)."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setblocking(False)
    try:
        with theirs:
            return Launcher(control, _spawn(theirs, *words))
    except BaseException:
        control.close()
        raise


def _spawn(control: socket.socket, *words: str) -> int:
    try:
        return os.posix_spawn(
            protected(launcher_path()),
            ["wardian-launcher", *words],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, control.fileno(), 3),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    except FileNotFoundError as error:
        raise WardianError(
            UNAVAILABLE,
            f"the launcher is not there: {launcher_path()}",
            operation="launch",
            errno=error.errno or 0,
            hint="`pip install .` compiles it",
        ) from error
