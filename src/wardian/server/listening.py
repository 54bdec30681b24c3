"""Where the engine listens: its unix socket, further ones, TCP with TLS, and what systemd passed.

The home's unix socket is always among them: the command on this host finds the engine there. TCP is root on this host
for whoever can reach it, so it is listened on only with TLS and client certificates, on the loopback address as well
(any local user and any page in a browser reaches that one).
"""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from wardian.errors import CONFLICT, INVALID, NOT_IMPLEMENTED, SYSTEM, WardianError
from wardian.server.accepting import Acceptor
from wardian.server.handshakes import Handshakes
from wardian.tls import server_context

if TYPE_CHECKING:
    from wardian.server.application import Application

GROUP = "wardian"
TLS_PORT = 2376
_BACKLOG = 4096  # /proc/sys/net/core/somaxconn bounds it: an engine that is stalled for a moment turns nobody away


class Tls(NamedTuple):
    """The three files of --tlscacert, --tlscert and --tlskey."""

    authority: str
    certificate: str
    key: str


class Endpoints(NamedTuple):
    """What `-H` named: unix sockets beside the home's, TCP addresses, and whether systemd's sockets must be there."""

    unix: tuple[str, ...] = ()
    tcp: tuple[tuple[str, int], ...] = ()
    inherited: bool = False
    tls: Tls | None = None
    group: str = ""


def read_endpoints(hosts: Sequence[str], tls: Tls | None, group: str = "") -> Endpoints:
    """Raises WardianError for what is no endpoint, and for TCP without TLS."""
    unix, tcp, inherited = [], [], False
    for host in hosts:
        scheme, _, rest = host.partition("://") if "://" in host else ("unix", "", host)
        if scheme == "unix" and rest.startswith("/"):
            unix.append(rest)
        elif scheme == "tcp":
            tcp.append(_tcp_address(host, rest))
        elif scheme == "fd":
            inherited = True
        else:
            known = "unix:///path, tcp://address:port and fd:// are what an engine listens on"
            kind = INVALID if scheme == "unix" else NOT_IMPLEMENTED
            raise WardianError(kind, f"cannot listen on {host}", operation="serve", subject=host, hint=known)
    if tcp and tls is None:
        raise _bare(hosts[-1] if len(hosts) == 1 else "tcp://")
    return Endpoints(tuple(unix), tuple(tcp), inherited, tls, group)


def _bare(what: str) -> WardianError:
    return WardianError(
        INVALID,
        f"refused to listen on {what} without TLS and client certificates: whoever can reach it would be root here",
        operation="serve",
        subject=what,
        hint="give --tlsverify with --tlscacert, --tlscert and --tlskey",
    )


def _tcp_address(host: str, rest: str) -> tuple[str, int]:
    name, colon, port = rest.rstrip("/").rpartition(":")
    if not colon or name.endswith(":") or (name.startswith("[") and not name.endswith("]")):
        name, port = rest.rstrip("/"), str(TLS_PORT)
    if not port.isdigit() or not 0 <= int(port) < 1 << 16:
        raise WardianError(INVALID, f"invalid port in {host}", operation="serve", subject=host)
    return name.strip("[]") or "127.0.0.1", int(port)


class Listeners:
    """What is listened on, from when it opens until it is closed."""

    def __init__(self, endpoints: Endpoints, home_socket: str, inherited: Sequence[socket.socket]) -> None:
        """Nothing is listened on yet, but what can be told is: certificates, systemd's sockets. Raises WardianError."""
        self._endpoints = endpoints
        self._inherited = inherited
        taken = {sock.getsockname() for sock in inherited if sock.family == socket.AF_UNIX}
        self._paths = [path for path in dict.fromkeys((home_socket, *endpoints.unix)) if path not in taken]
        self._context = _context(endpoints.tls)
        self._group = _group_id(endpoints.group)
        self._made: list[tuple[str, int]] = []
        self._servers: list[asyncio.Server | Acceptor] = []
        if endpoints.inherited and not inherited:
            raise WardianError(
                INVALID, "no sockets found via socket activation: -H fd:// is for systemd", operation="serve"
            )
        if any(sock.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6) for sock in inherited):
            raise WardianError(INVALID, "systemd passed a socket that is neither unix nor TCP", operation="serve")
        if self._context is None and any(sock.family != socket.AF_UNIX for sock in inherited):
            raise _bare("the TCP socket that systemd passed")

    def refuse_living(self) -> None:
        """A socket that somebody listens on is never taken (another engine's, Docker's); a stale one may be."""
        for path in self._paths:
            _refuse_living(path)

    async def open(self, application: Application) -> list[str]:
        """Listens, and says on what. The unix sockets come last: who waits for one finds all the others open."""
        from wardian.server.connection import Connection  # an engine's start loads it beside other things: serve()

        self._handshakes = Handshakes()
        said = []
        for sock in self._inherited:
            said.append(f"{_shown(sock)} (systemd's)")
            self._servers.append(await self._serve(application, sock))
        for host, port in self._endpoints.tcp:
            for sock in _listen_tcp(host, port):
                self._servers.append(await self._serve(application, sock))
                said.append(f"{_shown(sock)} (TLS)")
        for path in self._paths:
            sock = _listen(path, self._group)
            self._made.append((path, os.stat(path).st_ino))
            self._servers.append(Acceptor(sock, lambda: Connection(application)))
            said.append(path)
        return said

    async def _serve(self, application: Application, sock: socket.socket) -> asyncio.Server | Acceptor:
        from wardian.server.connection import Connection
        from wardian.server.relay import Relay

        if sock.family == socket.AF_UNIX:
            sock.listen(_BACKLOG)
            return Acceptor(sock, lambda: Connection(application))
        context, handshakes = self._context, self._handshakes
        assert context is not None
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: Relay(application, context, handshakes), sock=sock, backlog=_BACKLOG)

    def close(self) -> None:
        """What systemd passed keeps its name: the next client starts the next engine by it."""
        for path, inode in self._made:
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
        for server in self._servers:
            server.close()


def _context(tls: Tls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    for path in tls:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise WardianError(
                INVALID, f"cannot use TLS: {path}: {error.strerror}", operation="serve", subject=path
            ) from error
    try:
        return server_context(*tls)
    except (OSError, ValueError) as error:
        names = ", ".join(tls)
        raise WardianError(INVALID, f"cannot use TLS: {error} ({names})", operation="serve", subject=names) from error


def _shown(sock: socket.socket) -> str:
    name = sock.getsockname()
    if isinstance(name, str | bytes):  # bytes: the abstract namespace (unix(7))
        return os.fsdecode(name).replace("\0", "@")
    return f"tcp://[{name[0]}]:{name[1]}" if ":" in name[0] else f"tcp://{name[0]}:{name[1]}"


def _refuse_living(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
    raise WardianError(
        CONFLICT, f"something listens on {path} already", operation="serve", subject=path, hint="use another --socket"
    )


def _listen(path: str, group: int) -> socket.socket:
    """A listening socket, complete (mode, group) when it appears under its name; replaces a stale one."""
    staging = f"{path}.{os.getpid()}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with suppress(FileNotFoundError):
            os.unlink(staging)
        sock.bind(staging)
        os.chmod(staging, 0o600)
        if group >= 0:
            os.chown(staging, -1, group)
        os.chmod(staging, 0o660)
        sock.listen(_BACKLOG)
        os.rename(staging, path)
    except OSError as error:
        sock.close()
        with suppress(FileNotFoundError):
            os.unlink(staging)
        raise WardianError(
            SYSTEM, f"cannot listen on {path}: {error}", operation="listen", subject=path, errno=error.errno or 0
        ) from error
    return sock


def _group_id(name: str) -> int:
    """Who is in the group may do with this host what root may. -1: without a group `wardian` the socket is root's."""
    try:
        return grp.getgrnam(name or GROUP).gr_gid
    except KeyError:
        if name:
            raise WardianError(INVALID, f"there is no group {name}", operation="serve", subject=name) from None
        return -1


def _listen_tcp(host: str, port: int) -> list[socket.socket]:
    """One for each address of the name. Raises WardianError; then none is left."""
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
    except OSError as error:
        for sock in made:
            sock.close()
        raise WardianError(
            SYSTEM,
            f"cannot listen on tcp://{host}:{port}: {error.strerror or error}",
            operation="listen",
            subject=host,
            errno=error.errno or 0,
        ) from error
    return made
