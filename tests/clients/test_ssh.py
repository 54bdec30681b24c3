"""ssh:// by a real sshd on loopback: docker's command and ours, streams that end one way at a time, and what is said
when there is no way there."""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import needs
from clients_shared import IMAGE, Command
from engines import TestEngine

ROOT = Path(__file__).resolve().parents[2]


class Way(NamedTuple):
    """How the engine is reached, and the directory of programs in which `ssh` is the one that knows the way."""

    url: str
    programs: str


# sshd wants a user and a directory of its own; in a mount namespace nothing of that is on this machine.
_OWN_HOST = """
sshd=$1 directory=$2
{ cat /etc/passwd; echo 'sshd:x:65533:65534::/run/sshd:/bin/false'; } >"$directory/passwd"
mount --bind "$directory/passwd" /etc/passwd
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
exec "$sshd" -D -e -f "$directory/sshd_config"
"""


def _libraries(sshd: str) -> str:
    """Where tools/setup unpacked what Debian's sshd is linked with."""
    triplet = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    return str(Path(sshd).parents[1] / "lib" / triplet)


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)
    return str(path)


def _wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                needs.missing(f"sshd does not run here: {log.read_text()[-500:]}")
            time.sleep(0.05)


@pytest.fixture(scope="module")
def way(engine_with_image: TestEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """An sshd for this module. What it runs is `docker` or `wardian` from a directory of ours, for our engine."""
    needs.root()
    sshd = os.path.realpath(needs.program("sshd"))
    needs.program("ssh-keygen")
    ssh = needs.program("ssh")
    directory = tmp_path_factory.mktemp("ssh")
    there, here = directory / "there", directory / "here"
    for one in (there, here):
        one.mkdir()
    docker = os.path.realpath(needs.program("docker"))
    variables = f"DOCKER_HOST=unix://{engine_with_image.socket} PYTHONPATH={ROOT / 'src'}"
    for name, program in (("docker", docker), ("wardian", f"{sys.executable} -m wardian.cli")):
        (there / name).write_text(f'#!/bin/sh\nexec env {variables} {program} "$@"\n')
        (there / name).chmod(0o755)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    key = _key(directory / "key")
    shutil.copy(f"{key}.pub", directory / "authorized")
    (directory / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {_key(directory / 'host')}\n"
        f"AuthorizedKeysFile {directory / 'authorized'}\nStrictModes no\nUsePAM no\nPidFile none\n"
        f"PermitRootLogin yes\nSetEnv PATH={there}:/usr/bin:/bin\nMaxStartups 100\n"
    )
    (here / "ssh").write_text(
        f"#!/bin/sh\nexec {ssh} -F none -i {key} -o StrictHostKeyChecking=no "
        f'-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"\n'
    )
    (here / "ssh").chmod(0o755)
    log = (directory / "log").open("wb")
    server = subprocess.Popen(
        [needs.program("unshare"), "--mount", "sh", "-ec", _OWN_HOST, "sh", sshd, str(directory)],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={**os.environ, "LD_LIBRARY_PATH": _libraries(sshd)},
    )  # fmt: skip
    try:
        _wait_for(port, server, directory / "log")
        yield Way(f"ssh://root@127.0.0.1:{port}", f"{here}:{os.environ['PATH']}")
    finally:
        server.kill()
        server.wait()
        log.close()


@pytest.fixture(params=["docker", "wardian"])
def docker(request: pytest.FixtureRequest, way: Way, engine_socket: str, tmp_path: Path) -> Iterator[Command]:
    prefix = [needs.program("docker")] if request.param == "docker" else [sys.executable, "-m", "wardian.cli"]
    environment = {**os.environ, "DOCKER_CONFIG": str(tmp_path), "TERM": "xterm", "PATH": way.programs}
    environment = {name: value for name, value in environment.items() if name not in ("DOCKER_HOST", "WARDIAN_HOST")}
    command = Command([*prefix, "-H", way.url], environment)
    yield command
    command.close()


def test_a_container_runs(docker):
    assert docker.out("run", "--rm", IMAGE, "echo", "hello") == "hello"
    docker("run", "-d", "--name", "far", IMAGE, "sleep", "1000")
    assert "far" in docker.out("ps")
    assert docker.out("exec", "far", "echo", "inside") == "inside"
    assert docker("run", "--rm", IMAGE, "sh", "-c", "exit 9", status=9).returncode == 9


def test_the_end_of_stdin_is_heard_and_the_answer_still_comes(docker):
    done = docker("run", "--rm", "-i", IMAGE, "sh", "-c", "cat; sleep 0.2; echo after", stdin=b"some words\n")
    assert done.stdout == b"some words\nafter\n"


def test_megabytes_go_both_ways(docker):
    data = os.urandom(1 << 20) * 10
    done = docker("run", "--rm", "-i", "--log-driver", "none", IMAGE, "cat", stdin=data, timeout=60)
    assert done.stdout == data


def test_no_way_there_is_said(tmp_path: Path, way: Way) -> None:
    environment = {**os.environ, "PATH": way.programs, "DOCKER_CONFIG": str(tmp_path)}
    command = [sys.executable, "-m", "wardian.cli", "-H", "ssh://root@127.0.0.1:1", "ps"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert "lost the engine at ssh://root@127.0.0.1:1" in done.stderr


def test_dial_stdio_by_hand(engine_with_image: TestEngine) -> None:
    """What docker's ssh:// needs at the other side, without ssh."""
    for command in ([needs.program("docker")], [sys.executable, "-m", "wardian.cli"]):
        done = subprocess.run(
            [*command, "-H", engine_with_image.url, "system", "dial-stdio"],
            input=b"GET /_ping HTTP/1.0\r\n\r\n",
            capture_output=True,
            timeout=20,
        )
        assert done.stdout.startswith(b"HTTP/1.1 200 OK"), done.stderr
        assert done.stdout.endswith(b"\r\n\r\nOK")
