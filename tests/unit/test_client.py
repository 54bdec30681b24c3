"""The thin client: JSON, sockets by name, demultiplexing, the copy loop, and how much it imports."""

import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.client import Client, Hijacked, Target, TlsFiles, choose_target, jsontext
from wardian.client.console import CopyLoop, Demultiplexer, RawMode
from wardian.client.hosts import SshTarget
from wardian.client.http import query_text, quote
from wardian.client.ssh import remote_command
from wardian.client.start import START_DEADLINE, engine_log, start_engine
from wardian.client.wire import Connection
from wardian.errors import NOT_IMPLEMENTED, SYSTEM, UNAVAILABLE, WardianError
from wardian.home import make_home

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_json_is_what_the_json_package_makes_of_it(value: object) -> None:
    assert jsontext.decode(jsontext.encode(value)) == value
    assert json.loads(jsontext.encode(value)) == value
    assert jsontext.decode(json.dumps(value, indent=1).encode() + b"\n") == value


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", '{"a":1} x', "'a'"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.decode(text)


def test_what_is_no_json_is_a_value_error_without_the_json_package() -> None:
    code = "from wardian.client import jsontext\ntry: jsontext.decode('{')\nexcept ValueError as error: print(error)"
    assert "not JSON" in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_query_text() -> None:
    query = {"all": True, "size": False, "name": None, "t": 0, "changes": ["A=1 2", "b&c"], "filters": {"a": ["b"]}}
    assert query_text(query) == "all=1&t=0&changes=A%3D1%202&changes=b%26c&filters=%7B%22a%22%3A%5B%22b%22%5D%7D"
    assert quote("host:5000/a b", "/:") == "host:5000/a%20b"


def test_the_order_in_which_sockets_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDIAN_HOST", raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert choose_target().socket == "/run/wardian/wardian.sock"
    assert choose_target().home is not None
    monkeypatch.setenv("DOCKER_HOST", "unix:///d")
    assert (choose_target().socket, choose_target().home) == ("/d", None)
    monkeypatch.setenv("WARDIAN_HOST", "unix:///w")
    assert choose_target().socket == "/w"
    assert choose_target("unix:///h").socket == "/h"
    assert choose_target("/plain").socket == "/plain"


def test_tcp_and_ssh_addresses() -> None:
    bare, tls = choose_target("tcp://1.2.3.4"), choose_target("tcp://[::1]/", TlsFiles())
    assert (str(bare), str(tls)) == ("tcp://1.2.3.4:2375", "tcp://[::1]:2376")
    there = choose_target("ssh://a@b:22/run/x.sock")
    assert isinstance(there, SshTarget)
    assert there.words == ["-l", "a", "-p", "22", "-o", "ConnectTimeout=30", "-T", "--", "b"]
    assert remote_command(there.path) == "wardian --host unix://'/run/x.sock' system dial-stdio"
    assert remote_command("/a'b; rm -rf /") == "wardian --host unix://'/a'\\''b; rm -rf /' system dial-stdio"


def test_bare_tcp() -> None:
    """To engines of others that allow it; ours do not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            sock, _ = listening.accept()
            with sock:
                sock.recv(4096)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

        thread = threading.Thread(target=answer)
        thread.start()
        client = Client(choose_target(f"tcp://127.0.0.1:{listening.getsockname()[1]}"))
        assert client.request("GET", "/_ping").body == b"OK"
        client.close()
        thread.join()
    with pytest.raises(WardianError, match=r"cannot connect to the engine at tcp://127\.0\.0\.1:1: "):
        Client(choose_target("tcp://127.0.0.1:1")).request("GET", "/_ping")


def test_a_scheme_that_is_not_known() -> None:
    with pytest.raises(WardianError, match="npipe:// engines are not known") as caught:
        choose_target("npipe:////./pipe/x")
    assert caught.value.kind == NOT_IMPLEMENTED


@pytest.mark.parametrize(
    "host",
    ["nonsense", "unix://relative", "unix://", "tcp://x:99999", "tcp://[::1", "ssh://", "ssh://-oProxyCommand=x",
     "ssh://-x@h", "ssh://a:secret@h"],
)  # fmt: skip
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(WardianError):
        choose_target(host)


def test_no_engine_is_an_error_that_names_the_socket(tmp_path: Path) -> None:
    with pytest.raises(WardianError, match=f"{tmp_path}/none.*is it running") as caught:
        Client(Target(str(tmp_path / "none"))).request("GET", "/_ping")
    assert caught.value.kind == UNAVAILABLE


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=8), st.integers(1, 20))
def test_demultiplexing_in_any_pieces(frames: list[tuple[int, bytes]], size: int) -> None:
    wire = b"".join(frame(stream, data) for stream, data in frames)
    demultiplexer = Demultiplexer()
    out: dict[int, bytes] = {1: b"", 2: b""}
    for at in range(0, len(wire), size):
        for stream, data in demultiplexer.feed(wire[at : at + size]):
            out[stream] += data
    for stream in (1, 2):
        assert out[stream] == b"".join(data for number, data in frames if number == stream)


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="not a frame"):
        Demultiplexer().feed(b"HTTP/1.1 200 OK")


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body", "want"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", b"abcdeMORE", b"abcde"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", chunked(b"abc", b"de") + b"MORE", b"abcde"),
        (b"HTTP/1.0 200 OK", b"to the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content", b"", b""),
    ],
)
def test_body_framings(head: bytes, body: bytes, want: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head + b"\r\n\r\n" + body)
        theirs.shutdown(socket.SHUT_WR)
        connection = Connection(ours)
        status, headers = connection.read_head()
        assert b"".join(connection.body("GET", status, headers)) == want


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", b"SSH-2.0\r\n\r\n"])
def test_answers_that_break_off(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(answer)
        theirs.close()
        connection = Connection(ours)
        with pytest.raises((ConnectionError, ValueError)):
            b"".join(connection.body("GET", *connection.read_head()))


def test_the_copy_loop_carries_both_ways_and_half_closes(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    (tmp_path / "in").write_bytes(data := os.urandom(300_000))
    received = bytearray()

    def container() -> None:
        while piece := theirs.recv(65536):
            received.extend(piece)
        theirs.sendall(frame(1, b"out") + frame(2, b"err"))
        theirs.close()

    thread = threading.Thread(target=container)
    thread.start()
    with open(tmp_path / "in", "rb") as stdin, open(tmp_path / "o", "wb") as out, open(tmp_path / "e", "wb") as err:
        hijacked = Hijacked(ours, frame(1, b"early,"), True, 101)  # type: ignore[arg-type]
        CopyLoop(hijacked, True, stdin.fileno(), out.fileno(), err.fileno()).run()
    thread.join()
    ours.close()
    assert bytes(received) == data
    assert ((tmp_path / "o").read_bytes(), (tmp_path / "e").read_bytes()) == (b"early,out", b"err")


def test_raw_mode_is_put_back() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with RawMode(slave):
        assert not termios.tcgetattr(slave)[1] & termios.OPOST
        assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_an_engine_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"), socket=str(tmp_path / "no" / "such" / "dir"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "engine.lock").mkdir()  # it cannot take its lock
    with pytest.raises(WardianError, match="ended with status") as caught:
        start_engine(home, START_DEADLINE)
    assert caught.value.kind == SYSTEM
    assert "engine.lock" in caught.value.message
    assert engine_log(home) in caught.value.hint


def test_the_client_imports_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import wardian.client; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"asyncio", "http.client", "re", "dataclasses", "typing", "socket", "json", "logging", "select", "enum"}
    assert not heavy & set(loaded), loaded


@pytest.mark.parametrize(("method", "asked"), [("GET", 2), ("POST", 1)])
def test_what_may_have_been_done_is_not_asked_again(tmp_path: Path, method: str, asked: int) -> None:
    """A peer that takes the second request of a kept connection and ends without an answer."""
    path = str(tmp_path / "s")
    seen: list[bytes] = []
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as first:
            first.recv(4096)
            first.sendall(answer)
            seen.append(first.recv(4096))
        try:
            with listener.accept()[0] as second:
                seen.append(second.recv(4096))
                second.sendall(answer)
        except TimeoutError:
            pass

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(0.5)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        client = Client(Target(path))
        client.request("GET", "/first")
        try:
            client.request(method, "/second")
        except WardianError as error:
            assert (method, error.kind) == ("POST", UNAVAILABLE)
        thread.join()
        client.close()
    assert len(seen) == asked


def test_a_kept_connection_that_was_closed_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    seen: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            with listener.accept()[0] as connection:
                seen.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        client = Client(Target(path))
        client.request("POST", "/first")
        while client._idle is not None and client._idle.is_idle():
            pass
        client.request("POST", "/second")
        thread.join()
        client.close()
    assert len(seen) == 2


def test_the_lock_of_a_start_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardian.client.start._LOCK_MARGIN", 0.0)
    home = make_home(str(tmp_path / "d"), str(tmp_path / "r"))
    (tmp_path / "r").mkdir()
    with (tmp_path / "r" / "start.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(WardianError, match="another command has been starting the engine") as caught:
            start_engine(home, deadline=0.05)
    assert caught.value.kind == UNAVAILABLE
