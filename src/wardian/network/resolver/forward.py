"""Questions passed on as they came, to one server after another, and the first good answer passed back.

Each try has a socket and an id of its own, so that who answers must have seen the question (RFC 5452). A server that is
silent for a second is not given up: the next is asked beside it, and whichever answers first is heard. What came by
TCP is asked by TCP, because it came so for its length; only when no server takes that, by UDP.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence

from . import message, upstream
from .inside import socket_beside
from .loop import READ, WRITE, Loop, Timer

MOST_PENDING = 4096
MOST_PENDING_OF_ONE = 256
# One may hold this share of what is still free: eight that ask a slow domain take half of all, the ninth makes each
# take less, and however many there are, some is left for who has nothing under way.
_SHARE_OF_FREE = 8
NEXT_AFTER_SECONDS = 1.0
# When all were asked: glibc gives up after 5 s and asks again (resolv.conf(5), timeout).
LAST_SECONDS = 3.0
ROUNDS = 2
_BETTER_ELSEWHERE = (message.SERVFAIL, message.REFUSED, message.NOTIMP)
# One for all: a fresh one for each answer, cut to its length, would leave the heap full of holes.
_buffer = memoryview(bytearray(message.STREAM_LIMIT))

Reply = Callable[[bytes], None]


class Asker:
    """On whose behalf is asked: how many of its questions are under way, and the socket whose namespace to ask from."""

    __slots__ = ("inside", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self.inside: socket.socket | None = None


class Forwarder:
    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.pending = 0

    def forward(self, asker: Asker, packet: bytes, servers: Sequence[str], reply: Reply, stream: bool) -> None:
        """Ask `servers`; `reply` is called once, at once or later, with an answer to `packet`."""
        if not servers or asker.pending >= self._most_of_one():
            reply(message.refusal(packet, message.SERVFAIL))
            return
        Query(self, asker, packet, servers, reply, stream).next()

    def _most_of_one(self) -> float:
        return min(MOST_PENDING_OF_ONE, (MOST_PENDING - self.pending) / _SHARE_OF_FREE)


class Query:
    """One question under way."""

    __slots__ = ("_asker", "_attempts", "_best", "_forwarder", "_left", "_packet", "_reply", "_timer")

    def __init__(
        self, forwarder: Forwarder, asker: Asker, packet: bytes, servers: Sequence[str], reply: Reply, stream: bool
    ) -> None:
        self._forwarder = forwarder
        self._asker = asker
        self._packet = packet
        self._reply: Reply | None = reply
        self._attempts: list[Attempt] = []
        self._best = b""
        self._timer: Timer | None = None
        kinds: tuple[type[Attempt], ...] = (DatagramAttempt,) * ROUNDS
        if stream:
            kinds = (StreamAttempt, DatagramAttempt)
        self._left = [(kind, server) for kind in kinds for server in servers]
        forwarder.pending += 1
        asker.pending += 1

    def next(self) -> None:
        """Ask the next server; without one, wait for those that were asked, or say that there is no answer."""
        if self._timer is not None:
            self._timer.cancel()
        loop = self._forwarder.loop
        while self._left:
            kind, server = self._left.pop(0)
            try:
                self._attempts.append(kind(self, loop, self._asker, self._packet, server))
            except OSError:  # no route, no such family, no descriptor
                continue
            self._timer = loop.after(NEXT_AFTER_SECONDS, self.next)
            return
        if self._attempts:
            self._timer = loop.after(LAST_SECONDS, self._finish)
        else:
            self._finish()

    def heard(self, attempt: "Attempt", answer: bytes) -> None:
        """A server's answer. One that only refuses is kept in case that no other does better."""
        if message.code(answer) in _BETTER_ELSEWHERE:
            self._drop(attempt)
            self._best = self._best or answer
            self._left = [(kind, server) for kind, server in self._left if server != attempt.server]
            self._go_on()
        else:
            self._best = answer
            self._finish()

    def failed(self, attempt: "Attempt") -> None:
        """Nobody is there, or the connection broke."""
        self._drop(attempt)
        self._left = [one for one in self._left if one != (type(attempt), attempt.server)]
        self._go_on()

    def _go_on(self) -> None:
        if self._left or not self._attempts:
            self.next()

    def _drop(self, attempt: "Attempt") -> None:
        attempt.close()
        self._attempts.remove(attempt)

    def _finish(self) -> None:
        reply, self._reply = self._reply, None
        if reply is None:
            return
        self._forwarder.pending -= 1
        self._asker.pending -= 1
        best = self._best
        try:
            reply(self._packet[:2] + best[2:] if best else message.refusal(self._packet, message.SERVFAIL))
        finally:  # what is cleared away only now did not keep the asker waiting
            if self._timer is not None:
                self._timer.cancel()
            for attempt in self._attempts:
                attempt.close()
            self._attempts.clear()
            self._left.clear()


class Attempt:
    """One server asked once. Raises OSError when that cannot even begin."""

    __slots__ = ("_loop", "_query", "_question", "_socket", "server")
    _kind: int = socket.SOCK_DGRAM

    def __init__(self, query: Query, loop: Loop, asker: Asker, packet: bytes, server: str) -> None:
        self._query = query
        self._loop = loop
        self.server = server
        self._question = os.urandom(2) + packet[2:]
        family, address = upstream.socket_address(server)
        kind = self._kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        if asker.inside is not None:
            self._socket = socket_beside(asker.inside, family, kind)
        else:
            self._socket = socket.socket(family, kind)
        try:
            code = self._socket.connect_ex(address)
            if code and code != errno.EINPROGRESS:
                raise OSError(code, os.strerror(code), server)
            self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._socket.close()

    def _begin(self) -> None:
        raise NotImplementedError


class DatagramAttempt(Attempt):
    """By UDP: the socket is connected, so the kernel hands over only what comes from that server's port."""

    __slots__ = ()

    def _begin(self) -> None:
        self._socket.send(self._question)
        self._loop.watch(self._socket.fileno(), READ, self._readable)

    def _readable(self, events: int) -> None:
        try:
            answer = bytes(_buffer[: self._socket.recv_into(_buffer)])
        except BlockingIOError:
            return
        except OSError:  # an ICMP error: nobody listens there
            self._query.failed(self)
            return
        if message.answers(answer, self._question):
            self._query.heard(self, answer)


class StreamAttempt(Attempt):
    """By TCP: each message after its length (RFC 1035, 4.2.2)."""

    __slots__ = ("_in", "_out")
    _kind = socket.SOCK_STREAM

    def _begin(self) -> None:
        self._in = b""
        self._out = struct.pack("!H", len(self._question)) + self._question
        self._loop.watch(self._socket.fileno(), WRITE, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if self._out:
                self._out = self._out[self._socket.send(self._out) :]
                if not self._out:
                    self._loop.change(self._socket.fileno(), READ)
                return
            data = bytes(_buffer[: self._socket.recv_into(_buffer)])
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._in += data
        length = int.from_bytes(self._in[:2], "big")
        if len(self._in) < 2 + length or len(self._in) < 2:
            if not data:
                self._query.failed(self)
            return
        answer = self._in[2 : 2 + length]
        if message.answers(answer, self._question):
            self._query.heard(self, answer)
        else:
            self._query.failed(self)
