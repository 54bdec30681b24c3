"""The foreground engine: one process for a data root, on one unix socket.

    lock DATA_ROOT/engine.lock ─▶ Engine.start ─▶ listen ─▶ … SIGTERM, SIGINT or /wardian/shutdown ─▶ Engine.close

The lock says who is the engine (flock: it ends with the process, however that ends). The socket appears under its name
when the engine answers: readiness is a connect that works. Containers run on when the engine ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import grp
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from wardian.errors import CONFLICT, SYSTEM, WardianError
from wardian.server.application import Application
from wardian.server.connection import Connection

if TYPE_CHECKING:
    from wardian.home import Home

log = logging.getLogger("wardian.server")

# How long short operations may still take when the engine is told to end.
_CLOSE_GRACE = 5.0


def serve(home: Home) -> None:
    """Runs the engine of `home` until it is told to end. Raises WardianError when it cannot be that engine."""
    os.makedirs(home.data_root, mode=0o711, exist_ok=True)
    os.makedirs(home.run_root, mode=0o711, exist_ok=True)
    lock = _lock(home.data_root)
    try:
        _refuse_living(home.socket)
        asyncio.run(_serve(home))
    finally:
        os.close(lock)


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
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _refuse_living(path: str) -> None:
    """A socket that somebody listens on is never taken (another engine's, Docker's); a stale one may be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
    raise WardianError(
        CONFLICT, f"something listens on {path} already", operation="serve", subject=path, hint="use another --socket"
    )


def _listen(path: str) -> socket.socket:
    """A listening socket, complete (mode, group) when it appears under its name; replaces a stale one."""
    staging = f"{path}.{os.getpid()}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _unlink(staging)
        sock.bind(staging)
        os.chmod(staging, 0o660)
        _give_to_group(staging, "docker")
        sock.listen(1024)
        os.rename(staging, path)
    except OSError as error:
        sock.close()
        _unlink(staging)
        raise WardianError(
            SYSTEM, f"cannot listen on {path}: {error}", operation="listen", subject=path, errno=error.errno or 0
        ) from error
    return sock


def _give_to_group(path: str, name: str) -> None:
    """Who may use Docker may use us; without such a group the socket is root's alone."""
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        return
    os.chown(path, -1, group)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


async def _serve(home: Home) -> None:
    from wardian.engine import Engine

    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    engine = Engine(home)
    await engine.start()
    try:
        application = Application(engine, end.set)
        sock = _listen(home.socket)
        identity = os.stat(home.socket).st_ino
        server = await loop.create_unix_server(lambda: Connection(application), sock=sock)
        log.info("listening on %s (process %d)", home.socket, os.getpid())
        await end.wait()
        if _inode(home.socket) == identity:
            _unlink(home.socket)
        server.close()
        await _drain(application)
    finally:
        await engine.close()


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


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
