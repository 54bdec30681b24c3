"""Launchers as processes: how one is started, and one that is started before there is a plan for it.

To start a process takes a fifth of a millisecond on an idle machine and several on a busy one, in which the event loop
stands still. So an engine has launchers that wait for the next plans (`keep_ready`): one is taken at once, and a thread
makes up for it. They have nothing but their sockets, and end with them: also when their engine is killed.
"""

import asyncio
import collections
import contextlib
import os
import queue
import signal
import socket
import threading
import weakref
from typing import NamedTuple

from wardian.errors import UNAVAILABLE, WardianError
from wardian.kernel.spawn import spawn
from wardian.restock import Orders, fill, order
from wardian.runtime.program import protected

_STOCK = 2  # one is made while the other is at work
_PATIENCE = 1.0  # seconds, for one that is being made when the last has to go
# What Python ignores or a terminal may have set: the container starts with the kernel's defaults.
_DEFAULT_SIGNALS = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD,
)  # fmt: skip


class Launcher(NamedTuple):
    """A process, ours to reap, that reads a plan from the other end of `control`."""

    control: socket.socket
    process: int


class _Waiting:
    """What an event loop has in store, and the thread that fills it up."""

    def __init__(self) -> None:
        self.launchers: collections.deque[Launcher] = collections.deque()
        self.orders: Orders = queue.SimpleQueue()
        self.thread = threading.Thread(
            target=_fill, args=(self.launchers, self.orders), name="wardian-ready", daemon=True
        )
        self.thread.start()


_waiting: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting]" = weakref.WeakKeyDictionary()


def _fill(launchers: "collections.deque[Launcher]", orders: Orders) -> None:
    def make() -> bool:
        try:
            launchers.append(start())
        except (OSError, WardianError):  # who takes one hears why
            return False
        return True

    fill(orders, lambda: len(launchers) >= _STOCK, make)


def launcher_path() -> str:
    """The program that `pip install` compiled into the package."""
    return os.path.join(os.path.dirname(os.path.dirname(__file__)), "_bin", "wardian-launcher")


def keep_ready() -> None:
    """From now on some wait for the next plans of this event loop, until `keep_none`."""
    loop = asyncio.get_running_loop()
    if loop not in _waiting:
        _waiting[loop] = _Waiting()
        _waiting[loop].orders.put(True)


def keep_none() -> None:
    waiting = _waiting.pop(asyncio.get_running_loop(), None)
    if waiting is None:
        return
    waiting.orders.put(False)
    waiting.thread.join(_PATIENCE)
    while waiting.launchers:
        launcher = waiting.launchers.popleft()
        launcher.control.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(launcher.process, signal.SIGKILL)
            os.waitpid(launcher.process, 0)


def take() -> Launcher:
    """One that waits, or a new one. Raises WardianError(UNAVAILABLE) when the program is not there."""
    waiting = _waiting.get(asyncio.get_running_loop())
    while waiting is not None and waiting.launchers:
        found = waiting.launchers.popleft()
        order(waiting.orders, some_left=bool(waiting.launchers))
        if _lives(found):
            return found
    if waiting is not None:
        order(waiting.orders, some_left=False)
    return start()


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
        return spawn(protected(launcher_path()), ["wardian-launcher", *words], control.fileno(), 3, _DEFAULT_SIGNALS)
    except FileNotFoundError as error:
        raise WardianError(
            UNAVAILABLE,
            f"the launcher is not there: {launcher_path()}",
            operation="launch",
            errno=error.errno or 0,
            hint="`pip install .` compiles it",
        ) from error
