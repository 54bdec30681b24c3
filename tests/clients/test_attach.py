"""attach and exec, by terminals and pipes, docker's command line and ours: keys, sizes, ends, several at once."""

import os
import pty
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker as docker_py
import pytest

from clients_shared import IMAGE, Command

WaitUntil = Callable[[Callable[[], bool], str], None]
TICK = "i=0; until [ -e /stop ]; do echo $i; i=$((i+1)); done"


@pytest.fixture
def client(engine_with_image: Any, engine_socket: str) -> Iterator[docker_py.DockerClient]:
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    yield connected
    connected.close()


def _running(docker: Command, name: str) -> bool:
    return docker.out("inspect", "-f", "{{.State.Running}}", name) == "true"


def test_keys_that_do_not_end_the_sequence_are_passed_on(docker: Command) -> None:
    terminal = docker.terminal("run", "-it", "--name", "kk", "--detach-keys", "ctrl-a,ctrl-a,q", IMAGE, "sh")
    terminal.expect("# ")
    terminal.type("stty raw -echo; echo raw-$((1+1)); head -c 6 | od -An -tx1; stty sane\n")
    terminal.expect("raw-2")
    terminal.type("\x01x\x01\x01xy")
    terminal.expect("01 78 01 01 78 79")
    terminal.expect("# ")
    terminal.type("\x01\x01q")
    assert terminal.wait() in (0, 1)  # docker's says "read escape sequence"
    assert _running(docker, "kk")


@pytest.mark.parametrize("words", [("attach",), ("start", "-ai"), ("exec", "-it")])
def test_keys_that_are_none(docker: Command, words: tuple[str, ...]) -> None:
    docker("run", "-dit", "--name", "nn", IMAGE, "sh")
    if words[0] == "start":
        docker("kill", "nn")
    terminal = docker.terminal(*words, "--detach-keys", "ctrl-1", "nn", *(["sh"] if words[0] == "exec" else []))
    # docker's tells of attach only "unable to upgrade to tcp, received 400"
    terminal.expect("400" if words[0] != "exec" and "wardian" not in docker.prefix[-1] else "ctrl-1")
    assert terminal.wait() == 1


def test_exec_detaches_too_and_goes_on(docker: Command, wait_until: WaitUntil) -> None:
    docker("run", "-d", "--name", "ee", IMAGE, "sleep", "1000")
    terminal = docker.terminal("exec", "-it", "ee", "sh", "-c", "echo begun; read x; read y; sleep 1000")
    terminal.expect("begun")
    terminal.type("one\n")
    terminal.type("\x10\x11")
    terminal.wait()
    assert "sleep 1000" in docker.out("top", "ee")
    ids = docker.out("inspect", "-f", "{{.ExecIDs}}", "ee")
    assert len(ids) > 20


def test_sizes_before_during_and_none(client: docker_py.DockerClient) -> None:
    script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.1; done"
    body = {"tty": True, "stdin_open": True, "host_config": client.api.create_host_config()}
    identity = client.api.create_container(IMAGE, ["sh", "-c", script], **body)["Id"]
    with pytest.raises(docker_py.errors.APIError, match="is not running"):
        client.api.resize(identity, 10, 20)
    sock = client.api.attach_socket(identity, {"stdout": 1, "stream": 1})._sock
    sock.settimeout(10)
    client.api.start(identity)
    _until(sock, b"stty: ")  # busybox's, of no size at all
    client.api.resize(identity, 33, 99)
    _until(sock, b"33 99\r\n")
    client.api.resize(identity, 0, 0)
    _until(sock, b"stty: ")
    sock.close()
    plain = client.containers.run(IMAGE, ["sleep", "1000"], detach=True)
    plain.resize(10, 20)  # no terminal, and no error: as Docker
    client.api.kill(identity)
    with pytest.raises(docker_py.errors.APIError, match="is not running"):
        client.api.resize(identity, 10, 20)


def test_sizes_of_an_exec(docker: Command) -> None:
    docker("run", "-d", "--name", "ss", IMAGE, "sleep", "1000")
    script = "trap 'exit 3' INT; while :; do stty size; sleep 0.1; done"
    terminal = docker.terminal("exec", "-it", "ss", "sh", "-c", script)
    terminal.expect("24 80")
    terminal.resize(31, 97)
    for attempt in range(10):  # a client that is not yet listening is told again
        terminal.process.send_signal(signal.SIGWINCH)
        try:
            terminal.expect("31 97", timeout=2)
            break
        except pytest.fail.Exception:
            assert attempt < 9
    terminal.type("\x03")
    assert terminal.wait() == 3


def test_output_may_end_while_input_goes_on(docker: Command) -> None:
    """The other half: the container closes its outputs, and reads on."""
    script = "exec >/dev/null 2>&1; cat >/got; sleep 1000"
    docker("create", "-i", "--name", "oo", IMAGE, "sh", "-c", script)
    start = subprocess.Popen([*docker.prefix, "start", "-ai", "oo"], stdin=subprocess.PIPE, env=docker.environment)
    assert start.stdin is not None
    time.sleep(0.5)  # its outputs are closed by now, or a little later: it must not matter
    start.stdin.write(b"typed late\n")
    start.stdin.close()
    end = time.monotonic() + 10
    while docker("exec", "oo", "cat", "/got", status=None).stdout != b"typed late\n":
        assert time.monotonic() < end
    docker("kill", "oo")
    assert start.wait(10) == 137


def test_exec_with_closed_stdin_and_detached(docker: Command, wait_until: WaitUntil) -> None:
    docker("run", "-d", "--name", "xx", IMAGE, "sleep", "1000")
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *docker.prefix, "exec", "-i", "xx", "sh", "-c", "cat; echo end; exit 4"],
        capture_output=True, env=docker.environment, timeout=15,
    )  # fmt: skip
    assert (closed.returncode, closed.stdout) == (4, b"end\n"), closed.stderr
    assert docker("exec", "xx", "cat", stdin=b"not asked for").stdout == b""
    assert docker("exec", "-d", "xx", "sh", "-c", "echo nobody hears; touch /done").stdout == b""
    wait_until(lambda: docker("exec", "xx", "ls", "/done", status=None).returncode == 0, "exec -d has run")


def test_signals_go_to_the_container_or_not(docker: Command, wait_until: WaitUntil) -> None:
    script = "trap 'echo heard' INT; trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    identity = docker.out("run", "-d", "--name", "gg", IMAGE, "sh", "-c", script)
    wait_until(lambda: docker.out("logs", "gg") == "ready", "it is ready")
    times = ("--since", str(int(time.time()) - 100), "--until", "0s")
    attached = (*times, "--filter", "event=attach", "--filter", f"container={identity}")
    deaf = docker.start("attach", "--sig-proxy=false", "--no-stdin", "gg")
    heard = docker.start("attach", "--no-stdin", "gg")
    wait_until(lambda: docker.out("events", *attached).count("attach") == 2, "both listen, and have asked")
    deaf.send_signal(signal.SIGINT)  # docker's passes over it, ours ends
    time.sleep(0.3)
    deaf.kill()
    deaf.communicate(timeout=10)
    assert "heard" not in docker.out("logs", "gg")
    heard.send_signal(signal.SIGINT)
    wait_until(lambda: "heard" in docker.out("logs", "gg"), "INT was passed on")
    heard.send_signal(signal.SIGTERM)
    assert b"heard" in heard.communicate(timeout=10)[0]
    assert heard.returncode == 5


def test_exit_codes_of_those_who_stay_and_who_leave(docker: Command) -> None:
    terminal = docker.terminal("run", "-it", "--name", "cc", IMAGE, "sh")
    terminal.expect("# ")
    again = docker.terminal("attach", "cc")
    again.type("\n")
    again.expect("# ")  # what is typed gets through: the keys are read one by one
    again.type("\x10\x11")
    again.wait()
    terminal.type("exit 6\n")
    assert terminal.wait() == 6


def test_what_cannot_be_attached_to(docker: Command) -> None:
    docker("run", "--name", "ended", IMAGE, "true")
    assert b"cannot attach to a stopped container" in docker("attach", "ended", status=1).stderr
    docker("run", "-d", "--name", "paused", IMAGE, "sleep", "1000")
    docker("pause", "paused")
    assert b"cannot attach to a paused container" in docker("attach", "paused", status=1).stderr
    docker("unpause", "paused")


def test_attach_with_logs_has_no_gap_and_nothing_twice(client: docker_py.DockerClient, engine_socket: str) -> None:
    """Of one that writes as fast as it can, by several who come in between."""
    config = {"type": "json-file", "config": {"max-size": "1p"}}
    container = client.containers.run(IMAGE, ["sh", "-c", TICK], detach=True, log_config=config)
    outputs: list[bytes] = [b""] * 4

    def read(number: int) -> None:
        outputs[number] = _attached(engine_socket, container.id)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        time.sleep(0.2)
        thread.start()
    time.sleep(0.2)
    container.exec_run(["touch", "/stop"])
    for thread in threads:
        thread.join(20)
    container.wait()
    logged = container.logs()
    assert logged.count(b"\n") > 100
    for output in outputs:
        assert output == logged


def _attached(path: str, identity: str | None) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path)
        head = f"POST /containers/{identity}/attach?logs=1&stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
        sock.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        seen = bytearray()
        while data := sock.recv(1 << 18):
            seen += data
    body, said = bytes(seen).partition(b"\r\n\r\n")[2], bytearray()
    at = 0
    while at < len(body):
        length = int.from_bytes(body[at + 4 : at + 8], "big")
        said += body[at + 8 : at + 8 + length]
        at += 8 + length
    return bytes(said)


def test_each_of_several_gets_all_and_one_that_leaves_harms_nobody(client: docker_py.DockerClient) -> None:
    container = client.containers.create(IMAGE, ["sh", "-c", "for i in $(seq 20000); do echo $i; done"])
    socks = [client.api.attach_socket(container.id, {"stdout": 1, "stream": 1})._sock for _ in range(4)]
    outputs = [b""] * 3

    def read(number: int) -> None:
        socks[number].settimeout(20)
        while data := socks[number].recv(65536):
            outputs[number] += data

    threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    container.start()
    time.sleep(0.05)
    socks[3].shutdown(socket.SHUT_RDWR)  # it never read
    socks[3].close()
    for thread in threads:
        thread.join(20)
    for sock in socks[:3]:
        sock.close()
    assert outputs[0].count(b"\n") >= 20000
    assert outputs[0] == outputs[1] == outputs[2]


def _until(sock: Any, mark: bytes) -> None:
    seen = b""
    while mark not in seen:
        try:
            data = sock.recv(4096)
        except TimeoutError:
            pytest.fail(f"{mark!r} did not come: {seen!r}")
        assert data, seen
        seen += data


def test_a_terminal_of_a_person(docker: Command) -> None:
    """What is typed before the prompt is not lost, and ctrl-c reaches the container's foreground process only."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*docker.prefix, "run", "--rm", "-it", IMAGE, "sh", "-c", "sleep 1000; echo after-$?"],
        stdin=slave, stdout=slave, stderr=slave, env=docker.environment, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    end = time.monotonic() + 15
    while process.poll() is None:
        assert time.monotonic() < end
        os.write(master, b"\x03")
        time.sleep(0.1)
    assert process.returncode == 130
    os.close(master)
