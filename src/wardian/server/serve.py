"""The foreground engine: one process for a data root, on its unix socket and wherever else it is told to listen.

    lock DATA_ROOT/engine.lock ─▶ Engine.start ─▶ listen ─▶ … SIGTERM, INT, HUP or /wardian/shutdown ─▶ Engine.close

Each step of the end has a deadline, and who is at work in a thread for longer ends with the process.
The lock says who is the engine (flock: it ends with the process, however that ends). The socket appears under its name
when the engine answers: readiness is a connect that works. Containers run on when the engine ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import threading
from importlib import import_module
from typing import TYPE_CHECKING

from wardian.errors import CONFLICT, WardianError
from wardian.kernel.heap import bound_arenas
from wardian.kernel.open_files import raise_limit
from wardian.server.listening import Endpoints, Listeners
from wardian.server.loop_errors import LoopErrors
from wardian.server.metrics_listener import Address, open_metrics
from wardian.server.reload import Reload, has_terminal
from wardian.server.systemd import inherited_sockets, notify

if TYPE_CHECKING:
    from wardian.engine import Defaults
    from wardian.home import Home
    from wardian.server.application import Application
    from wardian.server.callers import Policy

log = logging.getLogger("wardian.server")

# How long short operations may still take when the engine is told to end.
_CLOSE_GRACE = 5.0
# Workers allocate little: an hour of containers leaves 16 MB unused in nine arenas, beside 8 that are used.
_ARENAS = 2
# Objects more than before, collections of these before one of the next: a container's life makes a thousand that live
# a while, and few in circles. Python's own 700 took a twentieth of twenty starts at once.
_COLLECTIONS = 10_000, 20, 20


def serve(
    home: Home,
    endpoints: Endpoints | None = None,
    policy: Policy | None = None,
    metrics: Address | None = None,
    defaults: Defaults | None = None,
    reload: Reload | None = None,
) -> None:
    """Runs the engine of `home` until it is told to end. Raises WardianError when it cannot be that engine."""
    bound_arenas(_ARENAS)
    raise_limit()
    gc.freeze()  # modules stay: no collection needs to look at them
    gc.set_threshold(*_COLLECTIONS)
    gc.enable()
    listeners = Listeners(endpoints or Endpoints(), home.socket, inherited_sockets())
    os.makedirs(home.data_root, mode=0o711, exist_ok=True)
    os.makedirs(home.run_root, mode=0o711, exist_ok=True)
    lock = _lock(home.data_root)
    try:
        listeners.refuse_living()
        with asyncio.Runner() as runner:
            try:
                runner.run(_serve(home, listeners, policy, metrics, defaults, reload))
            except Exception as error:
                _end_soon(1, str(error))
                raise
            _end_soon(0)
    finally:
        os.close(lock)


def _end_soon(status: int, error: str = "") -> None:
    """All is let go of. What a thread is still at (a walk over a large tree, a call that the kernel does not answer) is
    for nobody any more, and Python would wait for it."""
    timer = threading.Timer(_CLOSE_GRACE, _end, (status, error))
    timer.daemon = True
    timer.start()


def _end(status: int, error: str) -> None:
    at_work = (one.name for one in threading.enumerate() if not one.daemon and one is not threading.main_thread())
    log.warning("%sthe end waits no longer for %s", f"{error}; " if error else "", ", ".join(at_work))
    os._exit(status)


def _lock(data_root: str) -> int:
    path = os.path.join(data_root, "engine.lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise WardianError(
            CONFLICT,
            f"an engine already runs on {data_root} (process {holder or 'unknown'})",
            operation="serve",
            subject=data_root,
            hint="use another --data-root, or stop it",
        ) from None
    words = f"{os.getpid()}\n".encode()
    with contextlib.suppress(OSError):  # a disk that is full takes what fits in the file's own block
        os.pwrite(fd, words, 0)
        os.ftruncate(fd, len(words))
    return fd


def _ending_signals(reloads: bool) -> list[signal.Signals]:
    """Its terminal's end is the engine's, unless it is to be ignored: nohup(1). Without one SIGHUP `reloads`."""
    hears_hang_up = not reloads and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hears_hang_up else [])]


async def _serve(
    home: Home,
    listeners: Listeners,
    policy: Policy | None,
    metrics: Address | None,
    defaults: Defaults | None,
    reload: Reload | None,
) -> None:
    from wardian.engine import Engine

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors())
    end = asyncio.Event()
    reloads = reload is not None and not has_terminal()
    asked_early = asyncio.Event()
    if reloads:
        loop.add_signal_handler(signal.SIGHUP, asked_early.set)  # until the engine is there to hear of it
    for number in _ending_signals(reloads):
        loop.add_signal_handler(number, end.set)
    engine = Engine(home, defaults)
    # A thread of its own: while the engine waits for the kernel and for the disk nothing else runs.
    loaded = loop.run_in_executor(None, _load)
    await engine.start()
    await loaded
    if reload is not None and reloads:
        loop.add_signal_handler(signal.SIGHUP, reload, engine)
        if asked_early.is_set():
            reload(engine)
    try:
        from wardian.server.application import Application

        application = Application(engine, end.set, policy)
        counted: asyncio.Server | None = None
        try:
            if metrics is not None:  # before the socket, whose answer says that all is there
                counted = await open_metrics(application, metrics)
            said = await listeners.open(application)
            log.info("listening on %s (process %d)", ", ".join(said), os.getpid())
            notify("READY=1")
            await end.wait()
            notify("STOPPING=1")
        finally:
            listeners.close()
            if counted is not None:
                counted.close()
        await _drain(application)
    finally:
        await engine.close()


def _load() -> None:
    """What speaks to clients, up to the handler of a client's first question."""
    for name in ("application", "connection", "system"):
        import_module(f"wardian.server.{name}")


async def _drain(application: Application) -> None:
    """Streams end, short operations finish, within the grace."""
    deadline = asyncio.get_running_loop().time() + _CLOSE_GRACE
    # A turn of the loop: the answer to /wardian/shutdown itself.
    await asyncio.sleep(0.01)
    for connection in tuple(application.connections):
        connection.stop()
    while any(connection.busy for connection in application.connections):
        if asyncio.get_running_loop().time() > deadline:
            log.warning("closing with operations under way")
            return
        await asyncio.sleep(0.02)
        for connection in tuple(application.connections):
            connection.stop()
