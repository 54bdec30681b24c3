"""Attack: strangers at the TCP port send what is no TLS, or half of a handshake, or have a certificate of their own.

Nobody gets in, nothing is kept for them, and the engine goes on serving."""

import contextlib
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import needs
from certificates import Authority
from engines import TestEngine
from wardian.home import Home

_HELLO = bytes.fromhex("16030100050100ffffff")  # a ClientHello that says 16 MB and then stops


@pytest.fixture(scope="module")
def served(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestEngine, int]]:
    needs.root()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    flags = Authority(tmp_path_factory.mktemp("tls") / "authority").sign("engine").flags()
    engine = TestEngine(new_home(), "-H", f"tcp://127.0.0.1:{port}", *flags)
    yield engine, port
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


def _attack(port: int) -> list[socket.socket]:
    """Garbage of many lengths, and connections that have begun a handshake and wait."""
    for size in (1, 5, 100, 5000, 70000):
        for _ in range(40):
            with _connect(port) as sock, contextlib.suppress(ConnectionError):
                sock.sendall(random.randbytes(size))
    waiting = [_connect(port) for _ in range(100)]
    for sock in waiting:
        with contextlib.suppress(ConnectionError):
            sock.sendall(_HELLO)
    return waiting


def test_garbage_and_halves(served: tuple[TestEngine, int]) -> None:
    engine, port = served
    random.seed(7)
    for sock in _attack(port):
        sock.close()
    assert engine.client.request("GET", "/_ping").status == 200
    before = _facts(engine.pid)  # with what so many at once take, which the process keeps
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
    assert after[1] <= before[1] + 16_000  # kilobytes; kept for each of them it would be more
    assert "Traceback" not in engine.log_text()


def test_a_certificate_of_ones_own_is_none(served: tuple[TestEngine, int], tmp_path: Path) -> None:
    """Self-signed, and one for another purpose, signed by the right authority's name but not its key."""
    _, port = served
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


def test_old_tls_is_refused(served: tuple[TestEngine, int]) -> None:
    _, port = served
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with _connect(port) as sock, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(sock)
