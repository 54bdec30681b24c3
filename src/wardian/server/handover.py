"""A socket that is given away: to the supervisor of a container or an exec, or kept for it until there is one.

    head out ─▶ the client has read it ─▶ the socket's duplicate and what came behind the request ─▶ `Handover.take`

This side lets go without shutdown(2), which would end the stream for everybody.
"""

import asyncio
import fcntl
import os
import struct
import termios
import time
from collections.abc import Awaitable, Callable

from wardian.server.messages import Handover

_HEAD_SECONDS = 0.05


class ClientGone(Exception):
    """The client left while its answer was being written."""


async def detach(
    transport: asyncio.Transport, reply: Handover, offered: bool, drain: Callable[[], Awaitable[None]]
) -> int:
    """A descriptor of the transport's socket, once the answer's head is out. `offered`: the client wants an upgrade.
    Raises ClientGone."""
    transport.set_write_buffer_limits(0)
    transport.write(_head(offered, reply.content_type))
    await drain()
    if transport.is_closing():
        raise ClientGone
    sock = transport.get_extra_info("socket")
    if reply.speaks:
        await _taken_by_client(sock.fileno())
        if transport.is_closing():
            raise ClientGone
    return os.dup(sock.fileno())


async def _taken_by_client(fd: int) -> None:
    """Waits a little until the client has read what was written so far: unix(7), SIOCOUTQ.

    docker-py reads a head through a buffer and the stream past it from the socket below: what comes in one piece with
    the head is lost to it, and the output of a quick command does.
    """
    end = time.monotonic() + _HEAD_SECONDS
    turns = 0
    while struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0] and time.monotonic() < end:
        await asyncio.sleep(0 if turns < 10 else 0.001)  # most clients are there at once; others need the processor
        turns += 1


def _head(offered: bool, content_type: str) -> bytes:
    if offered:
        start = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    else:
        start = "HTTP/1.1 200 OK\r\n"
    return f"{start}Content-Type: {content_type}\r\n\r\n".encode("latin-1")
