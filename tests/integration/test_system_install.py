"""The engine as a service: units that systemd takes, sockets that it passes, and what `info` says without them."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import needs
from engines import TestEngine
from wardian.cli.install import units
from wardian.client import Client, Target
from wardian.client.start import server_arguments
from wardian.home import Home

WARDIAN = [sys.executable, "-m", "wardian.cli"]


def wardian(*words: str) -> str:
    done = subprocess.run([*WARDIAN, "system", *words], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = needs.program("systemd-analyze")
    wardian("install", "--unit-dir", str(tmp_path), "--data-root", "/var/lib/some where", "--group", "root")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / "wardian.service"), str(tmp_path / "wardian.socket")],
        capture_output=True, text=True, timeout=60, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    assert "wardian" not in done.stdout + done.stderr, done.stderr
    service = (tmp_path / "wardian.service").read_text()
    for line in ("KillMode=process", "Delegate=yes", "Restart=on-failure", "TasksMax=infinity", "Type=notify"):
        assert f"\n{line}\n" in service
    assert '--host fd:// --data-root "/var/lib/some where"' in service
    assert "\nSocketGroup=root\n" in (tmp_path / "wardian.socket").read_text()
    assert os.readlink(tmp_path / "multi-user.target.wants/wardian.service") == f"{tmp_path}/wardian.service"
    assert os.readlink(tmp_path / "sockets.target.wants/wardian.socket") == f"{tmp_path}/wardian.socket"
    shown = wardian("uninstall", "--dry-run", "--unit-dir", str(tmp_path))
    assert shown.count("would remove") == 4
    wardian("uninstall", "--unit-dir", str(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("wardian*")) == []
    assert "no units of Wardian" in wardian("uninstall", "--unit-dir", str(tmp_path))


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    shown = wardian("install", "--dry-run", "--unit-dir", str(tmp_path))
    assert "ListenStream=/run/wardian/wardian.sock" in shown
    assert not list(tmp_path.iterdir())


def test_words_of_a_unit_are_quoted() -> None:
    text = units(["/a b", "100%", "$HOME", 'say "x"', ""], "/run/100%", "")["wardian.service"]
    assert 'ExecStart="/a b" 100%% $$HOME "say \\"x\\"" ""\n' in text
    assert "SocketGroup" not in units(["x"], "/s", "")["wardian.socket"]


# What systemd does before it runs a service (sd_listen_fds(3)): the sockets from 3 on, and the pid that they are for.
_ACTIVATE = """
import os, socket, sys
paths, command = sys.argv[1].split(","), sys.argv[2:]
for number, path in enumerate(paths):
    if path.isdigit():
        sock = socket.socket(); sock.bind(("127.0.0.1", int(path)))
    else:
        sock = socket.socket(socket.AF_UNIX); sock.bind(path)
    sock.listen()
    fd = sock.detach()
    if fd != 3 + number:
        os.dup2(fd, 3 + number)
    os.set_inheritable(3 + number, True)
os.environ.update(LISTEN_FDS=str(len(paths)), LISTEN_PID=str(os.getpid()))
os.execv(command[0], command)
"""


def activated(home: Home, sockets: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _ACTIVATE, sockets, sys.executable, "-m", "wardian.server", *server_arguments(home),
         "--host", "fd://"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables},
        start_new_session=True,
    )  # fmt: skip


def test_the_socket_is_systemds(new_home: Callable[[], Home]) -> None:
    """It is served as it is, systemd hears when the engine is ready, and it keeps its name when the engine ends."""
    needs.root()
    home = new_home()
    os.makedirs(home.run_root)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.path.join(home.run_root, "notify"))
        manager.settimeout(20)
        process = activated(home, home.socket, NOTIFY_SOCKET=os.path.join(home.run_root, "notify"))
        inode = None
        try:
            assert manager.recv(100) == b"READY=1"
            inode = os.stat(home.socket).st_ino
            assert Client(Target(home.socket)).request("GET", "/_ping").status == 200
            Client(Target(home.socket)).request("POST", "/wardian/shutdown")
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait(20) == 0, process.stderr and process.stderr.read()
            assert os.stat(home.socket).st_ino == inode
        finally:
            process.kill()
            process.communicate()
    shutil.rmtree(home.run_root)


def test_a_bare_tcp_socket_of_systemds_is_refused(new_home: Callable[[], Home]) -> None:
    needs.root()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = activated(new_home(), str(port))
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "refused to listen on the TCP socket that systemd passed without TLS" in said


def test_several_unix_sockets_and_a_group(new_home: Callable[[], Home]) -> None:
    needs.root()
    home = new_home()
    with tempfile.TemporaryDirectory() as directory:
        other = os.path.join(directory, "other.sock")
        engine = TestEngine(home, "-H", f"unix://{other}", "--group", "daemon")
        try:
            for path in (home.socket, other):
                assert Client(Target(path)).request("GET", "/_ping").status == 200
                state = os.stat(path)
                assert (stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid) == (0o660, 0, 1)
            warnings = engine.client.call("GET", "/info")["Warnings"]  # type: ignore[index]
            assert os.path.exists("/etc/systemd/system/wardian.service") or any(
                "wardian system install" in one for one in warnings
            )
        finally:
            engine.close()
        assert not os.path.exists(other)


@contextmanager
def open_engine(home: Home, *arguments: str) -> Iterator[tuple[TestEngine, str]]:
    """An engine with one more socket, in a directory that every user may enter."""
    needs.root()
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = os.path.join(directory, "open.sock")
        engine = TestEngine(home, "-H", f"unix://{path}", "--group", "daemon", *arguments)
        try:
            yield engine, path
        finally:
            engine.close()


_ASK = """
import socket, sys
for line in sys.argv[2:]:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    sock.sendall(f"{line} HTTP/1.0\\r\\nContent-Length: 0\\r\\n\\r\\n".encode())
    answer = b""
    while piece := sock.recv(65536):
        answer += piece
    print(answer.decode())
"""


def ask(path: str, user: str, *lines: str) -> tuple[int, str]:
    """The pid of a process of this user that asked, and what it was answered."""
    process = subprocess.Popen(
        ["/usr/bin/python3", "-I", "-c", _ASK, path, *lines],
        user=user, group=user, extra_groups=[], stdout=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    answer, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return process.pid, answer


@pytest.mark.parametrize(("user", "uid"), [("root", 0), ("daemon", 1)])
def test_operations_are_logged_with_their_caller(new_home: Callable[[], Home], user: str, uid: int) -> None:
    """SO_PEERCRED: the numbers are the kernel's, the name is the program's."""
    with open_engine(new_home()) as (engine, path):
        pid, answer = ask(path, user, "POST /containers/none/stop")
        assert answer.startswith("HTTP/1.1 404")
        assert f"POST /containers/{{id}}/stop none by uid {uid} pid {pid} (python3)" in engine.log_text()


def test_who_is_not_allowed_is_told(new_home: Callable[[], Home]) -> None:
    with open_engine(new_home(), "--allow", "daemon=read") as (engine, path):
        _, answer = ask(path, "daemon", "GET /version", "POST /containers/x/start")
        assert answer.startswith("HTTP/1.1 200")
        assert "HTTP/1.1 403" in answer
        assert "may not POST /containers/{id}/start" in answer
        assert engine.client.request("POST", "/containers/x/start").status == 404  # root may
