"""200 MB through logs, attach and exec, by clients that read, stop reading, and follow over rotations: the engine's
memory stays what it was."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine

BIG = 200_000_000
FLOOD = f"yes {'0123456789' * 10} | head -c {BIG}"
GROWTH = 8 << 10  # KiB

pytestmark = pytest.mark.soak


def _anonymous(pid: int) -> int:
    """KiB: proc_pid_status(5)."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("RssAnon:")[2].split()[0])


@pytest.fixture
def steady(engine_with_image: TestEngine) -> Iterator[None]:
    """Fails when the engine's anonymous memory is ever more than 8 MiB above what it was."""
    engine = engine_with_image
    before, most, done = _anonymous(engine.pid), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, _anonymous(engine.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    done.set()
    watching.join()
    assert most - before <= GROWTH, f"{most - before} KiB more than the {before} before"


@pytest.fixture
def stuck(engine_with_image: TestEngine) -> Iterator[Callable[[str, str, str], None]]:
    """Requests whose answer is read for its first bytes only."""
    with contextlib.ExitStack() as closing:

        def ask(method: str, path: str, body: str = "") -> None:
            sock = closing.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(30)
            sock.connect(engine_with_image.socket)
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            upgrade = "" if method == "GET" else "Connection: Upgrade\r\nUpgrade: tcp\r\n"
            sock.sendall(f"{head}{upgrade}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            assert sock.recv(100).startswith(b"HTTP/1.1 ")

        yield ask


def _count(command: list[str], docker: Command) -> int:
    total = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=docker.environment) as process:
        assert process.stdout is not None
        while data := os.read(process.stdout.fileno(), 1 << 20):
            total += len(data)
    assert process.returncode == 0
    return total


def _identity(docker: Command, name: str) -> str:
    return docker.out("inspect", "-f", "{{.Id}}", name)


@pytest.mark.parametrize("words", [(), ("-t",), ("--tail", "1800000"), ("-f",)])
def test_a_log_is_written_and_read(docker: Command, steady: None, words: tuple[str, ...]) -> None:
    options = ("--log-opt", "max-size=1p")
    docker("run", "--name", "big", *options, "-d", IMAGE, "sh", "-c", FLOOD)
    docker("wait", "big", timeout=120)
    stamps = BIG // 101 + 1 if "-t" in words else 0  # of 31 bytes each
    wanted = BIG + 31 * stamps if words != ("--tail", "1800000") else 1_800_000 * 101 - (101 - BIG % 101) % 101
    assert _count([*docker.prefix, "logs", *words, "big"], docker) == wanted


def test_who_follows_over_rotations_while_it_floods(docker: Command, steady: None) -> None:
    """Quicker than anybody can follow, with three small files: what was rotated away is missing, no line is broken."""
    options = ("--log-opt", "max-size=1m", "--log-opt", "max-file=3")
    docker("run", "-d", "--name", "fl", *options, IMAGE, "sh", "-c", FLOOD)
    rest = b""
    with subprocess.Popen(
        [*docker.prefix, "logs", "-f", "fl"], stdout=subprocess.PIPE, env=docker.environment
    ) as process:
        assert process.stdout is not None
        while data := os.read(process.stdout.fileno(), 1 << 20):
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            assert set(lines) <= {b"0123456789" * 10}
    assert process.returncode == 0


def test_clients_that_stop_reading(docker: Command, steady: None, stuck: Callable[..., None]) -> None:
    docker("run", "-d", "--name", "log", "--log-opt", "max-size=1p", IMAGE, "sh", "-c", FLOOD + "; sleep 1000")
    for query in ("stdout=1", "stdout=1&timestamps=1", "stdout=1&follow=1", "stdout=1&follow=1&tail=10"):
        stuck("GET", f"/containers/{_identity(docker, 'log')}/logs?{query}")
    assert _count([*docker.prefix, "logs", "--tail", "900000", "log"], docker) > 1000


def test_attached_clients_that_stop_reading(docker: Command, steady: None, stuck: Callable[..., None]) -> None:
    docker("create", "--name", "at", "--log-driver", "none", IMAGE, "sh", "-c", FLOOD)
    stuck("POST", f"/containers/{_identity(docker, 'at')}/attach?stdout=1&stream=1")
    docker("start", "at")
    docker("run", "-d", "--name", "lg", "--log-opt", "max-size=1p", IMAGE, "sh", "-c", FLOOD)
    stuck("POST", f"/containers/{_identity(docker, 'lg')}/attach?stdout=1&stream=1&logs=1")
    assert docker.out("inspect", "-f", "{{.State.Running}}", "at") == "true"


def test_attached_clients_that_read(docker: Command, steady: None) -> None:
    assert _count([*docker.prefix, "run", "--rm", "--log-driver", "none", IMAGE, "sh", "-c", FLOOD], docker) == BIG


def test_exec(docker: Command, steady: None, stuck: Callable[..., None], engine: TestEngine) -> None:
    docker("run", "-d", "--name", "ex", IMAGE, "sleep", "1000")
    assert _count([*docker.prefix, "exec", "ex", "sh", "-c", FLOOD], docker) == BIG
    body = {"AttachStdout": True, "Cmd": ["sh", "-c", FLOOD]}
    made = engine.client.call("POST", f"/containers/{_identity(docker, 'ex')}/exec", body)
    assert isinstance(made, dict)
    stuck("POST", f"/exec/{made['Id']}/start", "{}")
