"""docker-py's common surface: what it returns, which of its errors it raises, and the words in them."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import docker as docker_py
import pytest

from clients_shared import IMAGE


@pytest.fixture
def client(engine_with_image: Any, engine_socket: str) -> Iterator[docker_py.DockerClient]:
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    yield connected
    connected.close()


@pytest.fixture
def sleeper(client) -> Any:
    return client.containers.run(IMAGE, ["sleep", "1000"], detach=True, name="sleeper")


def test_run_in_each_way(client):
    assert client.containers.run(IMAGE, "echo a b", remove=True) == b"a b\n"
    assert list(client.containers.run(IMAGE, ["sh", "-c", "echo 1; echo 2"], stream=True)) == [b"1\n", b"2\n"]
    assert client.containers.run(IMAGE, ["sh", "-c", "echo o; echo e >&2"], stderr=True, stdout=False) == b"e\n"
    detached = client.containers.run(IMAGE, ["sh", "-c", "exit 3"], detach=True)
    assert detached.wait(timeout=10)["StatusCode"] == 3
    gone = client.containers.run(IMAGE, ["true"], detach=True, remove=True)
    with pytest.raises(docker_py.errors.NotFound):
        while True:
            gone.reload()
            time.sleep(0.02)


def test_errors_say_what_docker_s_say(client, sleeper):
    with pytest.raises(docker_py.errors.ContainerError) as failed:
        client.containers.run(IMAGE, ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"bad\n")
    assert "returned non-zero exit status 3: b'bad\\n'" in str(failed.value)
    errors = docker_py.errors
    cases = [
        (errors.ImageNotFound, 404, 'Not Found ("No such image: nope:1")', lambda: client.images.get("nope:1")),
        (errors.NotFound, 404, 'Not Found ("No such container: nope")', lambda: client.containers.get("nope")),
        (errors.NotFound, 404, 'Not Found ("No such exec instance: nope")', lambda: client.api.exec_inspect("nope")),
        (errors.APIError, 409, "is already in use by container", lambda: _create(client, name="sleeper")),
        (errors.APIError, 409, "container is running: stop the container before removing", sleeper.remove),
        (errors.APIError, 400, "Bad Request", lambda: sleeper.kill("NOPE")),
        (errors.APIError, 400, 'invalid condition: "nope"', lambda: sleeper.wait(condition="nope")),
    ]
    for kind, status, words, call in cases:
        with pytest.raises(kind) as caught:
            call()
        assert (caught.value.status_code, words in str(caught.value)) == (status, True), str(caught.value)
    sleeper.kill()
    sleeper.wait()
    for call in (sleeper.kill, lambda: sleeper.exec_run("true")):
        with pytest.raises(docker_py.errors.APIError, match="is not running") as caught:
            call()
        assert caught.value.status_code == 409


def _create(client, **options: Any) -> Any:
    return client.containers.create(IMAGE, ["true"], **options)


def test_exec_in_each_way(client, sleeper):
    script = ["sh", "-c", "echo o; sleep 0.2; echo e >&2; exit 4"]
    assert sleeper.exec_run(script) == (4, b"o\ne\n")
    assert sleeper.exec_run(script, demux=True) == (4, (b"o\n", b"e\n"))
    assert list(sleeper.exec_run(script, stream=True).output) == [b"o\n", b"e\n"]
    assert list(sleeper.exec_run(script, stream=True, demux=True).output) == [(b"o\n", None), (None, b"e\n")]
    script = ["sh", "-c", "tty; id -u; pwd; echo $A"]
    done = sleeper.exec_run(script, tty=True, environment={"A": "1"}, user="app", workdir="/tmp")
    assert done == (0, b"/dev/pts/0\r\n1000\r\n/tmp\r\n1\r\n")
    assert sleeper.exec_run(["touch", "/made"], detach=True).exit_code in (None, 0)
    assert sleeper.exec_run(["nope"]).exit_code == 127
    assert b'exec: "nope": executable file not found in $PATH' in sleeper.exec_run(["nope"]).output
    plain, privileged = (
        sleeper.exec_run(["grep", "CapEff", "/proc/self/status"], privileged=flag).output for flag in (False, True)
    )
    assert plain < privileged


def test_exec_s_frames_are_for_its_start_to_ask(client, sleeper):
    """docker-py reads frames of an exec with a terminal too, and asks for them by `Tty: false` at the start."""
    script = ["sh", "-c", "echo o; sleep 0.2; echo e >&2"]
    both = b"o\r\ne\r\n"
    made = [client.api.exec_create(sleeper.id, script, tty=True)["Id"] for _ in range(4)]
    assert client.api.exec_start(made[0]) == both
    assert client.api.exec_start(made[1], demux=True) == (both, None)
    assert client.api.exec_start(made[2], tty=True) == both
    assert b"".join(out for out, _ in client.api.exec_start(made[3], demux=True, stream=True)) == both


def test_exec_s_detach_keys(client, sleeper, wait_until):
    """docker-py writes them in lower case."""
    client.api._general_configs["detachKeys"] = "ctrl-a,b"
    made = client.api.exec_create(sleeper.id, ["cat"], stdin=True, tty=True)
    assert client.api.exec_inspect(made["Id"])["DetachKeys"] == "AWI="
    sock = client.api.exec_start(made["Id"], tty=True, socket=True)._sock
    sock.settimeout(10)
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    sock.sendall(b"\x01b")
    assert sock.recv(1000) == b""
    sock.close()
    assert client.api.exec_inspect(made["Id"])["Running"]
    client.api._general_configs["detachKeys"] = "foo"
    with pytest.raises(docker_py.errors.APIError, match=r"Invalid escape keys \(foo\) provided"):
        client.api.exec_create(sleeper.id, ["cat"])


def test_exec_that_was_not_started_goes_with_the_end(client, sleeper):
    ended, waiting = (client.api.exec_create(sleeper.id, ["true"])["Id"] for _ in range(2))
    client.api.exec_start(ended)
    sleeper.kill()
    sleeper.wait()
    assert client.api.exec_inspect(ended)["ExitCode"] == 0
    with pytest.raises(docker_py.errors.NotFound, match="No such exec instance"):
        client.api.exec_inspect(waiting)
    sleeper.remove()
    assert client.api.exec_inspect(ended)["ExitCode"] == 0


def test_a_privileged_exec_keeps_the_filter(sleeper):
    """As Docker's and runc's: all capabilities, and still the container's seccomp filter."""
    said = sleeper.exec_run(["grep", "-E", "CapEff|Seccomp:", "/proc/self/status"], privileged=True).output.split()
    assert int(said[1], 16) & (1 << 21) and said[3] == b"2"


def test_exec_over_a_socket(sleeper):
    sock = sleeper.exec_run(["cat"], stdin=True, socket=True).output._sock
    sock.settimeout(10)
    sock.sendall(b"hello\n")
    sock.shutdown(socket.SHUT_WR)
    said = b""
    while data := sock.recv(1000):
        said += data
    sock.close()
    assert said == b"\x01\0\0\0\0\0\0\x06hello\n"


def test_exec_inspect(client, sleeper):
    made = client.api.exec_create(sleeper.id, ["sh", "-c", "exit 9"])
    before = client.api.exec_inspect(made["Id"])
    assert (before["Running"], before["ExitCode"]) == (False, None)
    client.api.exec_start(made["Id"])
    after = client.api.exec_inspect(made["Id"])
    assert (after["Running"], after["ExitCode"]) == (False, 9)
    assert after["ContainerID"] == sleeper.id
    assert after["ProcessConfig"]["entrypoint"] == "sh"
    with pytest.raises(docker_py.errors.APIError):
        client.api.exec_start(made["Id"])


def test_wait_has_the_caller_s_patience(sleeper):
    with pytest.raises(Exception, match="timed out"):
        sleeper.wait(timeout=0.5)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(sleeper.wait()))
    thread.start()
    time.sleep(0.2)
    sleeper.stop(timeout=0)
    thread.join(10)
    assert results[0]["StatusCode"] == 137
    sleeper.stop()  # stopped already


def test_logs_as_a_stream(client):
    container = client.containers.run(IMAGE, ["sh", "-c", "echo 1; sleep 0.2; echo 2"], detach=True)
    assert list(container.logs(stream=True, follow=True)) == [b"1\n", b"2\n"]
    assert container.logs(tail=1) == b"2\n"
    stamped = container.logs(timestamps=True, tail=1)
    assert stamped.startswith(b"20") and stamped.endswith(b"Z 2\n")
    assert container.logs(since=time.time() + 60) == b""
    quiet = client.containers.run(IMAGE, ["echo", "hi"], detach=True, log_config={"type": "none", "config": {}})
    quiet.wait()
    with pytest.raises(docker_py.errors.APIError, match="does not support reading") as caught:
        quiet.logs()
    assert caught.value.status_code == 501


def test_images(client):
    image = client.images.get(IMAGE)
    assert image.tag("words", "1")
    assert image.id in [found.id for found in client.images.list("words")]
    assert "words:1" in client.images.get("words:1").tags
    assert client.images.get("words:1").history()[0]["Id"]
    client.images.remove("words:1")
    with pytest.raises(docker_py.errors.ImageNotFound):
        client.images.remove("words:1")
    with pytest.raises(docker_py.errors.APIError, match="connection refused"):
        client.images.pull("127.0.0.1:1/nobody/here", "1")


def test_events(client):
    actions = ["create", "start", "die", "destroy"]
    events = client.events(decode=True, filters={"type": "container", "event": actions})
    seen: list[str] = []

    def watch() -> None:
        for event in events:
            seen.append(event["Action"])
            if len(seen) == len(actions):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.3)
    client.containers.run(IMAGE, ["true"], remove=True)
    thread.join(10)
    events.close()
    assert seen == actions
