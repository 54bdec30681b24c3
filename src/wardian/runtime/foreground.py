"""A container in front of a person, with no engine: its streams are this process's own, and so are its signals.

Each stream is a socket pair whose other end the supervisor has: one for input, which a thread copies (a read of a
terminal cannot be waited for otherwise), one for each output. With a terminal, ours is raw meanwhile, and its window's
size is the container's too.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
import sys
import termios
import threading
import tty
from collections.abc import Iterator

from wardian.descriptors import write_all
from wardian.errors import SYSTEM, WardianError
from wardian.kernel.pidfd import send_signal
from wardian.runtime.launch import Launched, launch
from wardian.runtime.plan import Plan
from wardian.runtime.supervisor import Attacher

_PIECE = 1 << 16
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def window_size() -> tuple[int, int]:
    """Rows and columns of our terminal (TIOCGWINSZ, tty_ioctl(4)); zeros when standard input is none."""
    try:
        rows, columns = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))[:2]
    except OSError:
        return 0, 0
    return rows, columns


async def run_in_foreground(plan: Plan, run_dir: str, terminal: bool) -> int:
    """Start it and stay until it ends. Returns its exit status. Raises LaunchError."""
    outputs = (1,) if terminal else (1, 2)
    pairs = [socket.socketpair() for _ in (0, *outputs)]
    (keyboard, _), *screens = pairs
    try:
        launched = await launch(plan, {}, _attachers([theirs.fileno() for _, theirs in pairs], terminal), run_dir)
    finally:
        for _, theirs in pairs:
            theirs.close()
    with _raw_terminal() if terminal else contextlib.nullcontext(), _signals_passed_on(launched, terminal):
        threading.Thread(target=_copy_input, args=(keyboard,), name="stdin", daemon=True).start()
        copies = [_copy_output(ours, fd) for (ours, _), fd in zip(screens, outputs, strict=True)]
        record, *_ = await asyncio.gather(launched.supervisor.wait_exit(), *copies)
    if record is None:
        raise WardianError(SYSTEM, "the container's supervisor was lost", operation="run")
    return 128 + record.signal if record.signal else record.exit_code


def _attachers(descriptors: list[int], terminal: bool) -> list[Attacher]:
    attachers = [Attacher(descriptors[0], b"", stdin=True, stdout=False, stderr=False, framed=False)]
    for which, fd in enumerate(descriptors[1:]):
        attachers.append(Attacher(fd, b"", stdin=False, stdout=which == 0, stderr=which == 1 or terminal, framed=False))
    return attachers


def _copy_input(to: socket.socket) -> None:
    """Until the end of our input, or of the container's."""
    with contextlib.suppress(OSError), to:
        while data := os.read(0, _PIECE):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)


async def _copy_output(source: socket.socket, to: int) -> None:
    loop = asyncio.get_running_loop()
    source.setblocking(False)
    with source:
        while data := await loop.sock_recv(source, _PIECE):
            await loop.run_in_executor(None, write_all, to, data)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """What is typed goes to the container's terminal as it is: the echo, Ctrl-C and line editing are that one's."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed already is kept
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals_passed_on(launched: Launched, terminal: bool) -> Iterator[None]:
    """Signals that would end us go to the container's first process, and our window's new size to its terminal."""
    loop = asyncio.get_running_loop()
    resizes: set[asyncio.Task[None]] = set()

    def pass_on(number: signal.Signals) -> None:
        send_signal(launched.pid, launched.start_time, number)

    async def resize() -> None:
        with contextlib.suppress(WardianError):  # it has just ended
            await launched.supervisor.resize(*window_size())

    def resized() -> None:
        task = loop.create_task(resize())
        resizes.add(task)
        task.add_done_callback(resizes.discard)

    for number in _PASSED_ON:
        loop.add_signal_handler(number, pass_on, number)
    if terminal and sys.stdin.isatty():
        loop.add_signal_handler(signal.SIGWINCH, resized)
    try:
        yield
    finally:
        for number in (*_PASSED_ON, signal.SIGWINCH):
            loop.remove_signal_handler(number)
