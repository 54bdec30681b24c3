"""Attack: strangers at the TCP port send what is no TLS, or half of a handshake, or have a certificate of their own.

Nobody gets in, a crowd of them takes no more memory than a few, and the engine goes on serving."""

import contextlib
import os
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

import needs
from certificates import Authority, Certificate
from engines import TestEngine
from wardian.home import Home

_HELLO = bytes.fromhex("16030100050100ffffff")  # a ClientHello that says 64 kB and then stops
_MORE = 16_000  # kilobytes: handshakes that are under way at once have half of it, kept for all it would be more


class Served(NamedTuple):
    engine: TestEngine
    port: int
    authority: Authority


@pytest.fixture(scope="module")
def served(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator["Served"]:
    needs.root()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    authority = Authority(tmp_path_factory.mktemp("tls") / "authority")
    engine = TestEngine(new_home(), "-H", f"tcp://127.0.0.1:{port}", *authority.sign("engine").flags())
    yield Served(engine, port, authority)
    engine.close()


def _facts(pid: int) -> tuple[int, int]:
    """(descriptors, resident kilobytes)"""
    with open(f"/proc/{pid}/status") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), resident


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 15)


def _ended(sock: socket.socket) -> bool:
    """An alert may come first."""
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def _halves(port: int, count: int) -> list[socket.socket]:
    made = [_connect(port) for _ in range(count)]
    for sock in made:
        with contextlib.suppress(ConnectionError):
            sock.sendall(_HELLO)
    return made


def _attack(port: int) -> list[socket.socket]:
    """Garbage of many lengths, and connections that have begun a handshake and wait."""
    for size in (1, 5, 100, 5000, 70000):
        for _ in range(40):
            with _connect(port) as sock, contextlib.suppress(ConnectionError):
                sock.sendall(random.randbytes(size))
    return _halves(port, 100)


def _reached(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_crowd_does_not_grow_the_engine(served: Served) -> None:
    """Six hundred halves at once: each may have 120 kB of OpenSSL's, all together what a tenth of them has."""
    before = _facts(served.engine.pid)
    crowd = _halves(served.port, 600)
    poll = select.poll()
    for sock in crowd:
        poll.register(sock, select.POLLIN)
    _reached(lambda: len(poll.poll(0)) > 100)  # so many have given way to others
    assert _facts(served.engine.pid)[1] <= before[1] + _MORE
    for sock in crowd:
        sock.close()
    _reached(lambda: _facts(served.engine.pid)[0] <= before[0] + 5)  # what listens, and a client of ours


def test_garbage_and_halves(served: Served) -> None:
    engine, port, _ = served
    assert engine.client.request("GET", "/_ping").status == 200
    quiet = _facts(engine.pid)[0]
    random.seed(7)
    for sock in _attack(port):
        sock.close()
    _reached(lambda: _facts(engine.pid)[0] <= quiet + 2)
    before = _facts(engine.pid)
    waiting = _attack(port)
    start = time.monotonic()
    assert engine.client.request("GET", "/_ping").status == 200
    assert time.monotonic() - start < 2
    for sock in waiting:
        assert _ended(sock)
        sock.close()
    time.sleep(0.2)
    after = _facts(engine.pid)
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + _MORE
    assert "Traceback" not in engine.log_text()


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate.authority)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def _ping(port: int, context: ssl.SSLContext) -> bytes:
    with _connect(port) as sock, context.wrap_socket(sock, server_hostname="localhost") as tls:
        tls.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: tls.recv(4096), b""))


def test_who_is_known_passes_halves(served: Served) -> None:
    """They have every place: those who take long go, as others wait."""
    context = _context(served.authority.sign("client"))
    halves = _halves(served.port, 100)
    assert _ping(served.port, context).endswith(b"OK")
    for sock in halves:
        sock.close()


def test_twenty_at_once_are_all_served(served: Served) -> None:
    context = _context(served.authority.sign("twenty"))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: _ping(served.port, context), range(200)))
    assert all(answer.endswith(b"OK") for answer in answers)


def test_a_certificate_of_ones_own_is_none(served: Served, tmp_path: Path) -> None:
    """Self-signed, and one for another purpose, signed by the right authority's name but not its key."""
    port = served.port
    for name in ("engine", "authority"):
        own = Authority(tmp_path / name).sign(name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(own.certificate, own.key)
        with (
            _connect(port) as sock,
            pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"),
            context.wrap_socket(sock) as tls,
        ):
            tls.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not tls.recv(100)


def test_old_tls_is_refused(served: Served) -> None:
    port = served.port
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with _connect(port) as sock, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(sock)
