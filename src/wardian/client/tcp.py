"""Engines behind TCP: bare, or with TLS by a thread that carries the bytes between it and an ordinary socket.

The thread is there so that attach, which waits on descriptors and closes one way at a time, needs to know nothing of
TLS: SSLSocket has bytes that poll(2) does not see, and cannot be half-closed.
"""

from __future__ import annotations

import _socket
import _thread
import select
import ssl

from wardian.errors import UNAVAILABLE, WardianError
from wardian.tls import TlsStream, client_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.client.hosts import TcpTarget

_CONNECT_SECONDS = 30.0
_READ = 65536
_HELD = 1 << 20


def dial(target: TcpTarget) -> _socket.socket:
    """A connected socket that carries clear bytes. Raises OSError, WardianError."""
    sock = _connect(target)
    if target.tls is None:
        sock.settimeout(None)
        return sock
    try:
        tls = _shake_hands(target, sock)
    except BaseException:
        sock.close()
        raise
    ours, theirs = _socketpair()
    _thread.start_new_thread(_carry, (target, tls, sock, theirs))
    return ours


def _socketpair() -> tuple[_socket.socket, _socket.socket]:
    one, other = _socket.socketpair()  # of the C module: sockets as the rest of the client has them
    return one, other


def _connect(target: TcpTarget) -> _socket.socket:
    """The first of the name's addresses that answers."""
    failed: OSError | None = None
    for family, kind, protocol, _, address in _socket.getaddrinfo(target.host, target.port, 0, _socket.SOCK_STREAM):
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_CONNECT_SECONDS)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failed = failed or error
            continue
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
        return sock
    raise failed or OSError(f"{target.host} has no address")


def _refused(target: TcpTarget, error: Exception) -> WardianError:
    text = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
    return WardianError(
        UNAVAILABLE, f"cannot connect to the engine at {target}: TLS: {text}", operation="connect", subject=str(target)
    )


def _shake_hands(target: TcpTarget, sock: _socket.socket) -> TlsStream:
    files = target.tls
    assert files is not None
    try:
        context = client_context(files.authority, files.certificate, files.key, files.verify)
    except (OSError, ValueError) as error:
        raise _refused(target, error) from error
    tls = TlsStream(context, server_side=False, server_name=target.host)
    tls.begin()
    while True:
        sock.sendall(tls.take())
        if tls.ready:
            return tls
        data = sock.recv(_READ)
        if not data:
            raise WardianError(
                UNAVAILABLE,
                f"the engine at {target} closed the connection in the middle of TLS's handshake: is it TLS there?",
                operation="connect",
            )
        try:
            tls.receive(data)
        except ssl.SSLError as error:
            sock.sendall(tls.take())
            raise _refused(target, error) from error


class _Carrier:
    """Both ways between the engine's TLS and our own end of the pair; neither waits for the other.

    What cannot be passed on yet is bounded: past _HELD bytes its source is not read.
    """

    def __init__(self, tls: TlsStream, sock: _socket.socket, clear: _socket.socket) -> None:
        self._tls, self._sock, self._clear = tls, sock, clear
        self._to_engine = bytearray()
        self._to_us = bytearray()
        self._our_end = False
        sock.setblocking(False)
        clear.setblocking(False)

    def run(self) -> None:
        """Until the engine has said its last, or nobody listens any more. Raises OSError (ssl.SSLError is one)."""
        poll = select.poll()
        while not (self._tls.ended and not self._to_us):
            for sock, wanted in self._wanted():
                poll.register(sock, wanted)
            for fd, events in poll.poll():
                if fd == self._sock.fileno():
                    self._engine(events)
                else:
                    self._ours(events)
                    if self._our_end and events & select.POLLHUP:
                        return

    def _wanted(self) -> list[tuple[_socket.socket, int]]:
        engine = select.POLLIN if len(self._to_us) < _HELD else 0
        ours = select.POLLIN if len(self._to_engine) < _HELD and not self._our_end else 0
        return [
            (self._sock, engine | (select.POLLOUT if self._to_engine else 0)),
            (self._clear, ours | (select.POLLOUT if self._to_us else 0)),
        ]

    def _engine(self, events: int) -> None:
        if events & select.POLLOUT:
            _send_some(self._sock, self._to_engine)
        if events & ~select.POLLOUT and len(self._to_us) < _HELD:
            data = _receive_some(self._sock)
            if data is None:
                return
            self._to_us += self._tls.receive(data)
            self._to_engine += self._tls.take()
            _send_some(self._clear, self._to_us)

    def _ours(self, events: int) -> None:
        if events & select.POLLOUT:
            _send_some(self._clear, self._to_us)
        if events & ~select.POLLOUT and not self._our_end:
            data = _receive_some(self._clear)
            if data is None:
                return
            if data:
                self._tls.send(data)
            else:
                self._our_end = True
                self._tls.finish()
            self._to_engine += self._tls.take()
            _send_some(self._sock, self._to_engine)


def _receive_some(sock: _socket.socket) -> bytes | None:
    """None: there was nothing after all (poll(2), BUGS); b"" at the end."""
    try:
        return sock.recv(_READ)
    except BlockingIOError:
        return None


def _send_some(sock: _socket.socket, data: bytearray) -> None:
    try:
        while data:
            del data[: sock.send(data)]
    except BlockingIOError:
        pass  # poll says when


def _carry(target: TcpTarget, tls: TlsStream, sock: _socket.socket, clear: _socket.socket) -> None:
    """What a connection's thread does. What went wrong is left with `target`."""
    try:
        _Carrier(tls, sock, clear).run()
    except ssl.SSLError as error:
        target.trouble = f"TLS: {error.reason or error}"
    except OSError as error:
        target.trouble = error.strerror or str(error)
    finally:
        clear.close()
        sock.close()
