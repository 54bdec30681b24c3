"""Connections of a listening unix socket, each given to a protocol of its own (transport.py)."""

import asyncio
import errno
import socket
from collections.abc import Callable

from wardian.server.transport import SocketTransport

_AGAIN = 1.0  # seconds, after one that could not be taken for want of a descriptor or of memory
_LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Takes connections until it is closed, and the listener with it."""

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._again: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._listen()

    def _listen(self) -> None:
        self._again = None
        self._loop.add_reader(self._listener, self._take)

    def _take(self) -> None:
        """One a turn: of two there is a second turn."""
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _LACKING:
                raise
            told = {"message": "accept(2) failed", "exception": error, "socket": self._listener}
            self._loop.call_exception_handler(told)
            self._loop.remove_reader(self._listener)
            self._again = self._loop.call_later(_AGAIN, self._listen)
            return
        sock.setblocking(False)
        SocketTransport(self._loop, sock, self._protocol()).open()

    def close(self) -> None:
        """What is connected goes on."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
