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


def dial(target: TcpTarget) -> _socket.socket:
    """A connected socket that carries clear bytes. Raises OSError, WardianError."""
    sock = _connect(target)
    if target.tls is None:
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
        sock.settimeout(None)
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


def _carry(target: TcpTarget, tls: TlsStream, sock: _socket.socket, clear: _socket.socket) -> None:
    """Both ways, until the engine has said its last; each way ends by itself. What went wrong is left with `target`."""
    try:
        sources = {sock.fileno(), clear.fileno()}
        poll = select.poll()
        for fd in sources:
            poll.register(fd, select.POLLIN)
        while sock.fileno() in sources:
            ready = {fd for fd, _ in poll.poll()}
            if clear.fileno() in ready:
                data = clear.recv(_READ)
                if data:
                    tls.send(data)
                else:
                    poll.unregister(clear)
                    sources.discard(clear.fileno())
                    tls.finish()
                    if _hung_up(clear):
                        break
                sock.sendall(tls.take())
            if sock.fileno() in ready:
                data = sock.recv(_READ)
                clear.sendall(tls.receive(data))
                sock.sendall(tls.take())
                if tls.ended:
                    break
    except ssl.SSLError as error:
        target.trouble = f"TLS: {error.reason or error}"
    except OSError as error:
        target.trouble = error.strerror or str(error)
    finally:
        clear.close()
        sock.close()


def _hung_up(sock: _socket.socket) -> bool:
    """Both ways are closed: nobody reads what the engine still says."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
