"""What a service and systemd say to each other: inherited sockets (sd_listen_fds(3)), readiness (sd_notify(3))."""

from __future__ import annotations

import os
import socket

_FIRST = 3


def inherited_sockets() -> list[socket.socket]:
    """The listening sockets that were passed to this very process, and nothing more of them in the environment."""
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count.isdigit() or pid != str(os.getpid()):
        return []
    found = []
    for fd in range(_FIRST, _FIRST + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        found.append(sock)
    return found


def notify(state: str) -> None:
    """`READY=1`, `STOPPING=1`; nothing where nobody asked to be told (Type=notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            pass  # whoever watched has left
