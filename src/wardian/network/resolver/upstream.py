"""Which servers are asked for what no network of ours knows: those of `--dns`, or the host's real ones.

The host's are read anew when its file changed: a laptop moves. Questions leave from the host, so a server on a loopback
address can be asked (dnsmasq, unbound), unlike from a container. Only systemd-resolved's stub is passed by: what it
would ask stands in a file of its own (systemd-resolved.service(8)).
"""

import os
import socket
from collections.abc import Sequence

HOST_FILE = "/etc/resolv.conf"
BEHIND_STUB = "/run/systemd/resolve/resolv.conf"
STUBS = ("127.0.0.53", "127.0.0.54")
PORT = 53
MOST_SERVERS = 3  # resolv.conf(5), MAXNS

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]


class HostServers:
    """The host's servers, in order."""

    def __init__(self, host_file: str = HOST_FILE, behind_stub: str = BEHIND_STUB) -> None:
        self._files = (host_file, behind_stub)
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self._servers: tuple[str, ...] = ()

    def read(self) -> tuple[str, ...]:
        now = tuple(map(_signature, self._files))
        if now != self._seen:
            self._servers = real_servers(_read(self._files[0]), _read(self._files[1]))
            self._seen = now
        return self._servers


def real_servers(host_text: str, behind_stub: str) -> tuple[str, ...]:
    """The servers of a host's resolv.conf; those behind the stub when it names only that one and they are known."""
    servers = _named(host_text)
    if servers and all(server in STUBS for server in servers):
        servers = [server for server in _named(behind_stub) if server not in STUBS] or servers
    return tuple(servers[:MOST_SERVERS])


def socket_address(server: str) -> Address:
    """The family and address of a server. Raises OSError when that is none, or its link is not there."""
    if ":" not in server:
        socket.inet_pton(socket.AF_INET, server)
        return socket.AF_INET, (server, PORT)
    bare, _, link = server.partition("%")
    socket.inet_pton(socket.AF_INET6, bare)
    return socket.AF_INET6, (bare, PORT, 0, socket.if_nametoindex(link) if link else 0)


def _named(text: str) -> list[str]:
    rows = (line.split() for line in text.splitlines())
    found: Sequence[str] = [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]
    return list(dict.fromkeys(found))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""


def _signature(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)
