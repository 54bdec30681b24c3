"""A client's TCP connection: messages after their lengths (RFC 1035, 4.2.2; RFC 7766), several at once.

Nobody waits for a client: what it does not read is kept up to a bound, and one that neither asks nor reads for a while
is cut off.
"""

import socket
import struct
from collections.abc import Callable

from .forward import Reply
from .loop import GONE, READ, WRITE, Loop

IDLE_SECONDS = 10.0
MOST_AT_ONCE = 16
_MOST_UNREAD = 256 * 1024


class Stream:
    """Owns `connection`. `ask` is called with each message, and says whether it will be answered; `ended` is called
    once, when the connection is closed."""

    __slots__ = (
        "_active", "_ask", "_connection", "_ended", "_in", "_longest", "_loop", "_open", "_out", "_taking", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        ask: Callable[[bytes, Reply, bool], bool],
        ended: Callable[["Stream"], None],
        longest: int,
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._ask = ask
        self._ended = ended
        self._longest = longest
        self._in = b""
        self._out = b""
        self._waiting = 0  # questions without an answer yet
        self._open = True  # the client may still send
        self._active = True
        self._taking = False
        loop.watch(connection.fileno(), READ, self._ready)
        loop.after(IDLE_SECONDS, self._look)

    def close(self) -> None:
        if self._connection.fileno() >= 0:
            self._loop.forget(self._connection.fileno())
            self._connection.close()
            self._ended(self)

    def _look(self) -> None:
        """Every so often: has anything happened since?"""
        if self._connection.fileno() < 0:
            return
        if not self._active and (self._out or not self._waiting):
            self.close()
            return
        self._active = False
        self._loop.after(IDLE_SECONDS, self._look)

    def _ready(self, events: int) -> None:
        if events & GONE:
            self.close()
            return
        try:
            if events & WRITE and self._out:
                self._out = self._out[self._connection.send(self._out) :]
                self._active = True
            if events & ~WRITE and self._open:
                data = self._connection.recv(2 + self._longest)
                self._open = bool(data)
                self._active = True
                self._in += data
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._take()
        self._settle()

    def _take(self) -> None:
        """Ask what is there in full, as far as the client may have questions open. An answer may come within."""
        if self._taking:
            return
        self._taking = True
        try:
            self._take_messages()
        finally:
            self._taking = False

    def _take_messages(self) -> None:
        while len(self._in) >= 2 and self._waiting < MOST_AT_ONCE and self._connection.fileno() >= 0:
            length = int.from_bytes(self._in[:2], "big")
            if not 12 <= length <= self._longest:
                self.close()
                return
            if len(self._in) < 2 + length:
                return
            packet, self._in = self._in[2 : 2 + length], self._in[2 + length :]
            self._waiting += 1
            if not self._ask(packet, self._answer, True):
                self.close()

    def _answer(self, answer: bytes) -> None:
        self._waiting -= 1
        if self._connection.fileno() < 0:
            return
        self._out += struct.pack("!H", len(answer)) + answer
        self._active = True
        if len(self._out) > _MOST_UNREAD:
            self.close()
            return
        self._take()
        self._settle()

    def _settle(self) -> None:
        """What to wait for now; nothing more to come on either side ends it."""
        if self._connection.fileno() < 0:
            return
        if not self._open and not self._out and not self._waiting:
            self.close()
            return
        reading = self._open and self._waiting < MOST_AT_ONCE
        self._loop.change(self._connection.fileno(), (READ if reading else 0) | (WRITE if self._out else 0))
