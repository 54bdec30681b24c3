"""What goes in and comes out of a container: every byte, to each that is attached, and nobody waits for a stranger."""

import hashlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest

from clients_shared import IMAGE

BIG = 100 << 20


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """100 MiB that no two blocks of repeat, and their digest."""
    path = tmp_path_factory.mktemp("big") / "data"
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(BIG >> 20):
            part = number.to_bytes(8, "big") + block[8:]
            file.write(part)
            digest.update(part)
    yield path, digest.hexdigest()
    path.unlink()


@pytest.fixture
def client(engine_with_image: Any, engine_socket: str) -> Iterator[docker_py.DockerClient]:
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    yield connected
    connected.close()


def _digest_through(docker, arguments: list[str], path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file, subprocess.Popen(
        [*docker.prefix, *arguments], stdin=file, stdout=subprocess.PIPE, env=docker.environment
    ) as process:  # fmt: skip
        assert process.stdout is not None
        while data := process.stdout.read(1 << 20):
            digest.update(data)
    assert process.returncode == 0
    return digest.hexdigest()


def test_100_megabytes_through_run_and_exec(docker, big_file):
    path, digest = big_file
    assert _digest_through(docker, ["run", "--rm", "-i", "--log-driver", "none", IMAGE, "cat"], path) == digest
    docker("run", "-d", "--name", "big", IMAGE, "sleep", "1000")
    assert _digest_through(docker, ["exec", "-i", "big", "cat"], path) == digest


def test_half_close_lets_the_answer_come(docker):
    """The input's end is told to the container, and what it says afterwards still arrives."""
    script = "wc -c; sleep 0.3; echo after"
    assert docker("run", "--rm", "-i", IMAGE, "sh", "-c", script, stdin=b"12345").stdout.split() == [b"5", b"after"]
    docker("run", "-d", "--name", "half", IMAGE, "sleep", "1000")
    assert docker("exec", "-i", "half", "sh", "-c", script, stdin=b"123").stdout.split() == [b"3", b"after"]


def test_a_stray_process_that_holds_the_output_is_not_waited_for(docker):
    start = time.monotonic()
    assert docker("run", "--rm", IMAGE, "sh", "-c", "sleep 60 & echo hi").stdout == b"hi\n"
    docker("run", "-d", "--name", "stray", IMAGE, "sleep", "1000")
    assert docker("exec", "stray", "sh", "-c", "sleep 60 & echo hi").stdout == b"hi\n"
    assert time.monotonic() - start < 12


def test_keys_of_ones_own_detach(docker):
    terminal = docker.terminal("run", "-it", "--name", "keys", "--detach-keys", "ctrl-a,x", IMAGE, "sh")
    terminal.expect("# ")
    terminal.type("echo here-$((1 + 1))\n")
    terminal.expect("here-2")
    terminal.type("\x10\x11")  # the default keys are not those any more
    terminal.type("\x01x")
    terminal.wait()
    assert docker.out("inspect", "-f", "{{.State.Running}}", "keys") == "true"
    again = docker.terminal("attach", "--detach-keys", "q", "keys")
    time.sleep(0.3)
    again.type("q")
    again.wait()
    assert docker.out("inspect", "-f", "{{.State.Running}}", "keys") == "true"


def test_a_slow_reader_slows_the_container_and_frees_it_by_leaving(docker, wait_until):
    script = "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end >&2"
    docker("create", "--name", "slow", IMAGE, "sh", "-c", script)
    reader = docker.start("start", "-a", "slow")  # nobody reads its pipe
    time.sleep(1)
    assert docker.out("inspect", "-f", "{{.State.Running}}", "slow") == "true"
    reader.kill()
    reader.communicate()
    assert docker.out("wait", "slow") == "0"


def test_several_who_wait_for_the_start_get_all(client):
    container = client.containers.create(IMAGE, ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done"])
    streams = [container.attach(stdout=True, stream=True) for _ in range(5)]
    outputs = [b""] * 5

    def read(number: int) -> None:
        outputs[number] = b"".join(streams[number])

    threads = [threading.Thread(target=read, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    container.start()
    for thread in threads:
        thread.join(10)
    assert outputs == [b"1\n2\n3\n"] * 5


def test_attach_with_what_was_logged(client, engine_socket):
    script = "echo one; until [ -e /go ]; do sleep 0.05; done; echo two"
    container = client.containers.run(IMAGE, ["sh", "-c", script], detach=True)
    while container.logs() != b"one\n":
        time.sleep(0.02)
    assert _attached(engine_socket, container.id, "logs=1&stdout=1") == b"one\n"
    answers: list[bytes] = []
    query = "logs=1&stream=1&stdout=1"
    reader = threading.Thread(target=lambda: answers.append(_attached(engine_socket, container.id, query)))
    reader.start()
    time.sleep(0.3)
    container.exec_run(["touch", "/go"])
    reader.join(10)
    assert answers == [b"one\ntwo\n"]


def _attached(path: str, identity: str, query: str) -> bytes:
    """All that an attach sends to the end. (docker-py loses what comes in one packet with the headers.)"""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(path)
        head = f"POST /containers/{identity}/attach?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
        sock.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        seen = b""
        while data := sock.recv(65536):
            seen += data
    headers, _, body = seen.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 101 "), headers
    said = b""
    while body:
        length = int.from_bytes(body[4:8], "big")
        said, body = said + body[8 : 8 + length], body[8 + length :]
    return said


def test_all_is_logged_when_wait_answers(client):
    container = client.containers.run(
        IMAGE, ["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' '\\n'"], detach=True,
        log_config={"type": "json-file", "config": {"max-size": "1p"}},
    )  # fmt: skip
    assert container.wait()["StatusCode"] == 0
    assert len(container.logs()) == 1_000_000


def test_two_at_one_terminal(client):
    container = client.containers.create(IMAGE, ["sh"], tty=True, stdin_open=True)
    both = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    first = container.attach_socket(params=both)._sock
    container.start()
    container.resize(44, 133)
    second = container.attach_socket(params=both)._sock
    for sock in (first, second):
        sock.settimeout(10)
    first.sendall(b"stty size; echo mark-$((1+1))\n")
    assert b"44 133" in _until(first, b"mark-2")
    _until(second, b"mark-2")
    container.resize(20, 50)
    second.sendall(b"stty size; echo mark-$((1+2))\n")
    assert b"20 50" in _until(first, b"mark-3")
    second.sendall(b"exit 4\n")
    assert container.wait()["StatusCode"] == 4
    for sock in (first, second):
        while sock.recv(4096):
            pass
        sock.close()


def _until(sock: Any, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        data = sock.recv(4096)
        assert data, seen
        seen += data
    return seen
