"""Attach by a websocket: docker-py (which knows it over TCP only), websocket-client on the unix socket and over TLS."""

import base64
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest
import websocket

from certificates import Authority
from clients_shared import IMAGE
from engines import TestEngine
from images_made import busybox_image, docker_archive

Open = Callable[..., websocket.WebSocket]
ALL = "stream=1&stdin=1&stdout=1&stderr=1"
CAT = {"Image": IMAGE, "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True}


@pytest.fixture
def start(engine_with_image: TestEngine, engine_socket: str) -> Callable[..., str]:
    """Creates a container and starts it."""

    def run(**body: Any) -> str:
        client = engine_with_image.client
        made = client.call("POST", "/containers/create", {"Image": IMAGE, **body})
        client.call("POST", f"/containers/{made['Id']}/start")
        return str(made["Id"])

    return run


@pytest.fixture
def opened(engine_with_image: TestEngine, engine_socket: str) -> Iterator[Open]:
    """Websockets on the unix socket; they close with the test."""
    with contextlib.ExitStack() as closing:

        def attach(identity: str, query: str = ALL, version: str = "/v1.51", **options: Any) -> websocket.WebSocket:
            sock = socket.socket(socket.AF_UNIX)
            closing.callback(sock.close)
            sock.connect(engine_socket)
            sock.settimeout(10)
            url = f"ws://localhost{version}/containers/{identity}/attach/ws?{query}"
            return websocket.create_connection(url, socket=sock, timeout=10, **options)

        yield attach


def _to_end(ws: websocket.WebSocket) -> bytes:
    said = b""
    while True:
        opcode, data = ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            assert data[:2] == (1000).to_bytes(2, "big")
            return said
        assert opcode == websocket.ABNF.OPCODE_BINARY
        said += data


def _until(ws: websocket.WebSocket, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        opcode, data = ws.recv_data()
        assert opcode != websocket.ABNF.OPCODE_CLOSE, said
        said += data
    return said


@pytest.fixture
def tcp_address(engine_with_image: TestEngine) -> Iterator[str]:
    """What people do with socat: TCP in front of the unix socket. An engine itself listens on TCP only with TLS."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                outside, _ = server.accept()
                inside = socket.socket(socket.AF_UNIX)
                inside.connect(engine_with_image.socket)
                ends.extend((outside, inside))
                for pair in ((outside, inside), (inside, outside)):
                    threads.append(threading.Thread(target=pump, args=pair, daemon=True))
                    threads[-1].start()

    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=serve, daemon=True)
        accepting.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)
    for end in ends:
        end.close()


def test_docker_py(tcp_address: str, engine_socket: str) -> None:
    client = docker_py.DockerClient(base_url=tcp_address, version="1.51", timeout=20)
    container = client.containers.create(IMAGE, ["cat"], stdin_open=True, tty=True)
    params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    ws = container.attach_socket(params=params, ws=True)
    ws.settimeout(10)
    container.start()
    ws.send("typed\n")
    assert b"typed\r\ntyped\r\n" in _until(ws, b"typed\r\ntyped\r\n")
    container.kill()
    _to_end(ws)
    ws.close()
    client.close()


def test_both_ways_and_the_end(start: Callable[..., str], opened: Open, engine: TestEngine) -> None:
    identity = start(**CAT)
    ws = opened(identity)
    ws.send_binary(b"\x00\xff bytes")
    ws.send("a text: é")
    wanted = "a text: é".encode()
    assert _until(ws, wanted) == b"\x00\xff bytes" + wanted
    ws.ping(b"there?")
    ws.send_binary(b".")
    assert _until(ws, b".") == b"."
    ws.send_close()  # the end of stdin: cat ends
    assert engine.client.call("POST", f"/containers/{identity}/wait") == {"StatusCode": 0}


def test_megabytes_both_ways(start: Callable[..., str], opened: Open) -> None:
    ws = opened(start(**CAT, HostConfig={"LogConfig": {"Type": "none"}}))
    data = os.urandom(1 << 20) * 8

    def send() -> None:
        for at in range(0, len(data), 100_000):
            ws.send_binary(data[at : at + 100_000])

    sender = threading.Thread(target=send)
    sender.start()
    got = bytearray()
    while len(got) < len(data):
        got += ws.recv()
    sender.join(10)
    assert got == data


def test_streams_and_logs_are_as_asked(start: Callable[..., str], opened: Open, engine: TestEngine) -> None:
    identity = start(Cmd=["sh", "-c", "echo out; echo err >&2"])
    engine.client.call("POST", f"/containers/{identity}/wait")
    assert _to_end(opened(identity, "logs=1&stdout=1")) == b"out\n"
    assert _to_end(opened(identity, "logs=1&stderr=1")) == b"err\n"
    assert sorted(_to_end(opened(identity, "logs=1", "/v1.41")).split()) == [b"err", b"out"]


def test_text_for_old_clients(start: Callable[..., str], opened: Open) -> None:
    ws = opened(start(Cmd=["sh", "-c", "read x; printf '\\303\\251\\377'"], OpenStdin=True), "stream=1", "/v1.27")
    ws.send("go\n")
    said = ""
    while not said.endswith("\ufffd"):
        opcode, data = ws.recv_data()
        assert opcode == websocket.ABNF.OPCODE_TEXT
        said += data.decode()
    assert said == "é\ufffd"


def test_detach_keys(start: Callable[..., str], opened: Open, engine: TestEngine) -> None:
    identity = start(Cmd=["cat"], OpenStdin=True, Tty=True)
    ws = opened(identity, ALL + "&detachKeys=ctrl-a,x")
    ws.send("one\n")
    _until(ws, b"one\r\none\r\n")
    ws.send("\x01x")
    _to_end(ws)
    inspected = engine.client.call("GET", f"/containers/{identity}/json")
    assert isinstance(inspected, dict)
    assert inspected["State"]["Running"]


def test_who_waits_for_the_start(opened: Open, engine_with_image: TestEngine) -> None:
    client = engine_with_image.client
    identity = client.call("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["echo", "first"]})["Id"]
    ws = opened(identity)
    client.call("POST", f"/containers/{identity}/start")
    assert _to_end(ws) == b"first\n"


def test_a_client_that_does_not_read_is_not_kept_in_memory(
    start: Callable[..., str], opened: Open, engine: TestEngine
) -> None:
    """A flood of output and of pings, and nobody reads."""
    before = _anonymous(engine.pid)
    ws = opened(start(Cmd=["sh", "-c", "yes | head -c 100000000"], HostConfig={"LogConfig": {"Type": "none"}}))
    pings = b"\x89\xfd\0\0\0\0" + b"x" * 125
    ws.sock.settimeout(0.3)
    with contextlib.suppress(OSError):
        for _ in range(30):
            ws.sock.sendall(pings * 10_000)
    assert _anonymous(engine.pid) - before < 8 << 10


def _anonymous(pid: int) -> int:
    """KiB: proc_pid_status(5)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0])


def test_refusals_are_ordinary_answers(start: Callable[..., str], opened: Open, engine_socket: str) -> None:
    identity = start(Cmd=["sleep", "1000"])
    with pytest.raises(websocket.WebSocketBadStatusException, match=r"404"):
        opened("none-such")
    with pytest.raises(websocket.WebSocketBadStatusException, match=r"400 .*detach keys"):
        opened(identity, ALL + "&detachKeys=nonsense")
    with pytest.raises(websocket.WebSocketBadStatusException, match=r"403 .*may not attach"):
        opened(identity, origin="http://evil.example")
    for headers, status in (("", b"400"), (_handshake("8"), b"426")):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(engine_socket)
            sock.sendall(f"GET /containers/{identity}/attach/ws HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 " + status)


def _handshake(version: str = "13") -> str:
    key = base64.b64encode(os.urandom(16)).decode()
    named = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": version,
        "Sec-WebSocket-Key": key,
    }
    return "".join(f"{name}: {value}\r\n" for name, value in named.items())


def test_frames_behind_the_request_are_heard_and_bad_ones_end_it(start: Callable[..., str], engine_socket: str) -> None:
    identity = start(**CAT)
    request = f"GET /containers/{identity}/attach/ws?{ALL} HTTP/1.1\r\nHost: x\r\n{_handshake()}\r\n".encode()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(engine_socket)
        sock.sendall(request + b"\x82\x83\0\0\0\0abc")  # one packet
        said = b""
        while not said.endswith(b"\x82\x03abc"):
            said += sock.recv(4096)
        sock.sendall(b"\x82\x03abc")  # no mask
        said = b""
        while data := sock.recv(4096):
            said += data
        assert said[0] == 0x88
        assert said[2:4] == (1002).to_bytes(2, "big")


def test_over_tls_and_the_engines_end_is_told(new_home: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    alice = authority.sign("alice")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = TestEngine(new_home(), "-H", f"tcp://127.0.0.1:{port}", *authority.sign("engine").flags())
    try:
        archive = docker_archive({IMAGE: busybox_image()})
        with running.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
            stream.read()
        identity = running.client.call("POST", "/containers/create", {**CAT, "StdinOnce": False})["Id"]
        running.client.call("POST", f"/containers/{identity}/start")
        tls = {"ca_certs": alice.authority, "certfile": alice.certificate, "keyfile": alice.key}
        url = f"wss://127.0.0.1:{port}/containers/{identity}/attach/ws?{ALL}"
        ws = websocket.create_connection(url, sslopt={**tls, "cert_reqs": ssl.CERT_REQUIRED}, timeout=10)
        ws.send("secret\n")
        assert _until(ws, b"secret\n") == b"secret\n"

        running.terminate()
        opcode, data = ws.recv_data()
        assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1001).to_bytes(2, "big"))
        ws.close()
        running.start()
        inspected = running.client.call("GET", f"/containers/{identity}/json")
        assert inspected["State"]["Running"]
    finally:
        running.close()
