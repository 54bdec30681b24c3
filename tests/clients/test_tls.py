"""The engine behind TCP: docker's clients and ours over TLS, who is let in, and streams that end one way at a time."""

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker as docker_py
import pytest

import needs
from certificates import Authority, Certificate
from clients_shared import IMAGE, Command
from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.home import Home

WARDIAN = [sys.executable, "-m", "wardian.cli"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def alice(authority: Authority) -> Certificate:
    return authority.sign("alice")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def served(new_home: Callable[[], Home], authority: Authority) -> Iterator[tuple[TestEngine, str]]:
    needs.root()
    host = f"tcp://127.0.0.1:{free_port()}"
    flags = [*authority.sign("engine").flags(), "--allow", "alice=read,run,build,push,admin", "--allow", "reader=read"]
    engine = TestEngine(new_home(), "-H", host, *flags)
    with engine.client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()})) as stream:
        stream.read()
    yield engine, host
    engine.close()


@pytest.fixture(params=["docker", "wardian"])
def docker(
    request: pytest.FixtureRequest, served: tuple[TestEngine, str], alice: Certificate, tmp_path: Path
) -> Iterator[Command]:
    prefix = [needs.program("docker")] if request.param == "docker" else WARDIAN
    environment = {**os.environ, "DOCKER_CONFIG": str(tmp_path), "TERM": "xterm"}
    command = Command([*prefix, "-H", served[1], *alice.flags()], environment)
    yield command
    command.close()
    served[0].remove_containers()


def test_a_container_runs(docker):
    assert docker.out("run", "--rm", IMAGE, "echo", "hello") == "hello"
    docker("run", "-d", "--name", "web", IMAGE, "sleep", "1000")
    assert "web" in docker.out("ps")
    assert docker.out("exec", "web", "echo", "inside") == "inside"


def test_the_end_of_stdin_is_heard_and_the_answer_still_comes(docker):
    """cat and a word after it: only half of the stream was closed."""
    typed = b"some words\n"
    done = subprocess.run(
        [*docker.prefix, "run", "--rm", "-i", IMAGE, "sh", "-c", "cat; sleep 0.2; echo after"],
        input=typed, env=docker.environment, capture_output=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, typed + b"after\n"), done.stderr


def test_megabytes_go_both_ways(docker):
    data = os.urandom(1 << 20) * 20
    done = subprocess.run(
        [*docker.prefix, "run", "--rm", "-i", "--log-driver", "none", IMAGE, "cat"],
        input=data, env=docker.environment, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_exit_codes_and_terminals(docker):
    assert docker("run", "--rm", IMAGE, "sh", "-c", "exit 7", status=7).returncode == 7
    terminal = docker.terminal("run", "--rm", "-it", IMAGE, "sh")
    terminal.expect("# ")
    terminal.type("echo ab$((1+1))c\n")
    terminal.expect("ab2c")
    terminal.type("exit 3\n")
    assert terminal.wait() == 3


def test_docker_py(served: tuple[TestEngine, str], alice: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests takes them before what it is told
        monkeypatch.delenv(name, raising=False)
    tls = docker_py.tls.TLSConfig(client_cert=(alice.certificate, alice.key), ca_cert=alice.authority, verify=True)
    client = docker_py.DockerClient(base_url=served[1], tls=tls, timeout=20)
    try:
        assert client.containers.run(IMAGE, ["echo", "by docker-py"], remove=True) == b"by docker-py\n"
        container = client.containers.run(IMAGE, ["sleep", "1000"], detach=True)
        assert container.exec_run(["echo", "exec"]).output == b"exec\n"
    finally:
        served[0].remove_containers()
        client.close()


@pytest.mark.parametrize("prefix", ["docker", "wardian"])
def test_variables_name_the_certificates(prefix: str, served: tuple[TestEngine, str], alice: Certificate) -> None:
    command = [needs.program("docker")] if prefix == "docker" else WARDIAN
    environment = {
        **os.environ, "DOCKER_HOST": served[1], "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": os.path.dirname(alice.certificate),
    }  # fmt: skip
    done = subprocess.run([*command, "images"], env=environment, capture_output=True, text=True, timeout=20)
    assert "busybox" in done.stdout, done.stderr


def test_who_has_no_certificate_is_not_served(served: tuple[TestEngine, str], alice: Certificate) -> None:
    address = served[1].removeprefix("tcp://").split(":")
    context = ssl.create_default_context(cafile=alice.authority)
    with (
        socket.create_connection((address[0], int(address[1])), 5) as sock,
        pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"),
        context.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        tls.recv(1)
    with socket.create_connection((address[0], int(address[1])), 5) as sock:
        sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in sock.recv(4096)


def test_certificates_of_another_authority_are_not_believed(
    served: tuple[TestEngine, str], alice: Certificate, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "other").sign("alice")
    own = stranger._replace(authority=alice.authority)
    done = subprocess.run([*WARDIAN, "-H", served[1], *own.flags(), "ps"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "unknown ca" in done.stderr.lower().replace("_", " ")
    done = subprocess.run(
        [*WARDIAN, "-H", served[1], *stranger.flags(), "ps"], capture_output=True, text=True, timeout=20
    )
    assert "TLS: " in done.stderr
    assert done.returncode == 1


def test_the_caller_is_named_and_has_what_it_was_given(
    served: tuple[TestEngine, str], authority: Authority, alice: Certificate
) -> None:
    reader, nobody = authority.sign("reader"), authority.sign("nobody")

    def ask(who: Certificate, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*WARDIAN, "-H", served[1], *who.flags(), *words], capture_output=True, text=True, timeout=20
        )

    assert ask(reader, "ps").returncode == 0
    refused = ask(reader, "create", IMAGE)
    assert refused.returncode != 0
    assert "tls reader from 127.0.0.1:" in refused.stderr
    assert "may not POST /containers/create" in refused.stderr
    assert "may not GET" in ask(nobody, "ps").stderr
    assert ask(alice, "create", IMAGE).returncode == 0
    assert "POST /containers/create  by tls alice from 127.0.0.1:" in served[0].log_text()
    served[0].remove_containers()  # by the unix socket, as root: nobody keeps root out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-H", "tcp://127.0.0.1:0"], "refused to listen on tcp://127.0.0.1:0 without TLS"),
        (["-H", "tcp://127.0.0.1:0", "--tls"], "refused --tls alone"),
        (["-H", "tcp://127.0.0.1:0", "--tlsverify"], "--tlsverify needs --tlscacert, --tlscert, --tlskey"),
        (["-H", "npipe:////./pipe/docker"], "cannot listen on npipe:"),
        (["-H", "fd://"], "no sockets found via socket activation"),
        (["--allow", "x=root"], "invalid --allow 'x=root'"),
        (["--group", "no-such-group"], "there is no group no-such-group"),
    ],
)
def test_what_is_not_listened_on(arguments: list[str], said: str, tmp_path: Path) -> None:
    where = ["--data-root", str(tmp_path / "d"), "--run-root", str(tmp_path / "r")]
    done = subprocess.run([*WARDIAN, "serve", *where, *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert said in done.stderr


def test_half_a_handshake_is_not_waited_for(served: tuple[TestEngine, str]) -> None:
    """One who says nothing holds nothing up; others are served meanwhile."""
    address = served[1].removeprefix("tcp://").split(":")
    silent = [socket.create_connection((address[0], int(address[1])), 15) for _ in range(20)]
    start = time.monotonic()
    assert served[0].client.request("GET", "/_ping").status == 200
    try:
        assert silent[0].recv(1) == b""
    except ConnectionError:
        pass
    assert time.monotonic() - start < 15
    for sock in silent:
        sock.close()
