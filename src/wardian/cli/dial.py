"""`system dial-stdio`: stdin and stdout are a connection to the engine. What ssh:// runs at the other side.

Each way ends by itself: the end of stdin is the end of what the engine hears, and its answer still comes.
"""

from __future__ import annotations

import _thread
import os

from wardian.cli.command import Command
from wardian.descriptors import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from wardian.cli.command import Invocation

_READ = 1 << 18


def dial_stdio(invocation: Invocation) -> int:
    sock = invocation.client.dial()
    _thread.start_new_thread(_send, (sock,))
    while data := _received(sock):
        write_all(1, data)
    return 0


def _received(sock: _socket.socket) -> bytes:
    try:
        return sock.recv(_READ)
    except ConnectionError:
        return b""


def _send(sock: _socket.socket) -> None:
    """stdin to the engine, in a thread of its own: neither way waits for the other."""
    from _socket import SHUT_WR

    try:
        while data := os.read(0, _READ):
            sock.sendall(data)
        sock.shutdown(SHUT_WR)
    except OSError:
        pass  # the engine has ended, which the other way hears


DIAL_STDIO = Command(dial_stdio, "", most=0)
