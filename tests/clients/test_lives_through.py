"""What containers, and who watches them, live through: the engine's whole group killed, its terminal closed."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import homes
from clients_shared import IMAGE, Terminal
from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client import Client, Target
from wardian.client.start import engine_answers, server_arguments
from wardian.home import Home
from wardian.kernel.procfs import status

COUNTS = ("sh", "-c", "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.05; done")
ENDLESS = "while :; do echo again; sleep 0.05; done"


@pytest.fixture
def engines_group(engine_with_image: TestEngine) -> Iterator[list[str]]:
    """A group of its own for the engine, in every hierarchy, as a service manager makes it."""
    name = f"{homes.CGROUP_PARENT}/{homes.RUN}-engine"
    groups = [os.path.join(mount, name) for mount in homes.cgroup_mounts()]
    groups = [group for group in groups if _made(group)]
    if not groups:
        pytest.skip("needs a hierarchy of control groups that takes processes")
    engine_with_image.terminate()
    engine_with_image.groups = groups
    engine_with_image.start()
    yield groups
    engine_with_image.terminate()
    engine_with_image.groups = []
    engine_with_image.start()
    homes.remove_empty_groups(name)


def _made(group: str) -> bool:
    """A cpuset of version 1 takes processes only with processors and memory of its own."""
    try:
        os.makedirs(group, exist_ok=True)
        for file in ("cpuset.mems", "cpuset.cpus"):
            for directory in (os.path.dirname(group), group):
                if os.path.exists(f"{directory}/{file}") and not _read(f"{directory}/{file}").strip():
                    _write(f"{directory}/{file}", _read(f"{os.path.dirname(directory)}/{file}"))
    except OSError:
        return False
    return os.path.exists(f"{group}/cgroup.procs")


def _named(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ") + _read(f"/proc/{pid}/cgroup")


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _members(groups: list[str]) -> set[int]:
    return {int(line) for group in groups for line in _read(f"{group}/cgroup.procs").split()}


def test_the_engines_whole_group_is_killed(docker, engine, engines_group):
    """As `systemctl kill`, or a unit without KillMode=process: what is not in the engine's group does not notice."""
    docker("network", "create", "lives")
    docker("run", "-d", "--name", "counts", "--network", "lives", "--restart", "always", IMAGE, *COUNTS)
    docker("run", "-d", "--name", "other", "--network", "lives", IMAGE, "sleep", "1000")
    before = docker.out("inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "counts")
    attached = docker.start("attach", "--no-stdin", "counts")
    executed = docker.start("exec", "other", "sh", "-c", "echo begun; sleep 2; echo done")
    assert attached.stdout.readline() and executed.stdout.readline()
    members = _members(engines_group)
    others = {pid: _named(pid) for pid in members if pid != engine.pid}  # launchers that wait for a plan may be there
    assert engine.pid in members and not any("resolver" in name for name in others.values())
    watched = [docker.out("inspect", "-f", "{{.State.Pid}}", name) for name in ("counts", "other")]
    assert not members & {int(status(pid)["PPid"]) for pid in watched}, others
    for pid in members:
        os.kill(pid, 9)
    engine.kill()  # takes note of its end
    time.sleep(0.3)
    lines = [int(attached.stdout.readline()) for _ in range(10)]
    engine.start()
    assert docker.out("inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "counts") == before
    assert docker.out("inspect", "-f", "{{.RestartCount}}", "counts") == "0"
    assert lines == list(range(lines[0], lines[0] + 10))  # no gap, nothing twice
    assert executed.communicate(timeout=20)[0] == b"done\n"
    assert docker.out("exec", "other", "ping", "-c", "1", "-W", "3", "counts").startswith("PING counts")
    attached.kill()
    attached.communicate()
    docker("rm", "-f", "counts", "other")
    docker("network", "rm", "lives")


_START = """
import sys
from wardian.client.start import start_engine
from wardian.home import make_home
start_engine(make_home(data_root=sys.argv[1], run_root=sys.argv[2], cgroup_base=sys.argv[3], bridge=sys.argv[4]))
input()
"""


@pytest.mark.parametrize("how", ["serve", "started by a command"])
def test_the_terminal_of_the_engine_closes(new_home, how, wait_until):
    """In the foreground the engine ends with its terminal, and cleanly; one that a command started does not notice."""
    home = new_home()
    if how == "serve":
        command = [sys.executable, "-m", "wardian.cli", "serve", *server_arguments(home)]
    else:
        words = (home.data_root, home.run_root, home.cgroup_base, home.bridge)
        command = [sys.executable, "-c", _START, *words]
    terminal = Terminal(command, dict(os.environ))
    wait_until(lambda: engine_answers(home.socket), "the engine answers")
    client = Client(Target(home.socket))
    with client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as stream:
        assert list(stream.objects())
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}
    identity = client.call("POST", "/containers/create", body)["Id"]
    client.call("POST", f"/containers/{identity}/start")
    pid = client.call("GET", f"/containers/{identity}/json")["State"]["Pid"]
    client.close()
    terminal.hang_up()
    if how == "serve":
        assert terminal.wait() == 0
        assert not os.path.exists(home.socket)
    else:
        terminal.wait()
        time.sleep(0.3)
        assert client.call("GET", f"/containers/{identity}/json")["State"]["Pid"] == pid
        client.call("POST", "/wardian/shutdown")
        wait_until(lambda: not engine_answers(home.socket), "it ends when it is told to")
        client.close()
    assert os.path.exists(f"/proc/{pid}/root/bin")
    after = TestEngine(home)
    try:
        assert [(line["Id"], line["State"]) for line in after.containers()] == [(identity, "running")]
    finally:
        after.close()


@pytest.fixture
def on_a_terminal(new_home: Callable[[], Home], wait_until: Any) -> Iterator[tuple[Home, Terminal, str]]:
    """An engine in the foreground of a shell that has job control, and a container that counts."""
    home = new_home()
    words = " ".join(map(shlex.quote, [sys.executable, "-m", "wardian.cli", "serve", *server_arguments(home)]))
    terminal = Terminal(["bash", "--norc", "-i"], {**os.environ, "PS1": "ask> ", "HISTFILE": ""})
    try:
        terminal.expect("ask> ")
        terminal.type(f"{words}; echo ended with $?\n")
        wait_until(lambda: engine_answers(home.socket), "the engine answers")
        client = Client(Target(home.socket))
        with client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as stream:
            assert list(stream.objects())
        body = {"Image": IMAGE, "Cmd": ["sh", "-c", ENDLESS], "HostConfig": {"NetworkMode": "none"}}
        made: Any = client.call("POST", "/containers/create", body)
        client.call("POST", f"/containers/{made['Id']}/start")
        client.close()
        yield home, terminal, made["Id"]
    finally:
        terminal.close()
        TestEngine(home).close()


def test_ctrl_c_ends_the_engine_alone(on_a_terminal):
    """SIGINT goes to the terminal's foreground process group (termios(3), ISIG): no container is in it."""
    home, terminal, identity = on_a_terminal
    client = Client(Target(home.socket))
    pid = client.call("GET", f"/containers/{identity}/json")["State"]["Pid"]
    client.close()
    terminal.type("\x03")
    terminal.expect("ended with 0", 20)
    assert not engine_answers(home.socket)
    assert os.path.exists(f"/proc/{pid}/root/bin")


def test_ctrl_z_stops_the_engine_alone(on_a_terminal, wait_until):
    """Containers and who is attached go on beside a stopped engine, which answers when it is brought back."""
    home, terminal, identity = on_a_terminal
    client = Client(Target(home.socket))
    attached = client.hijack("POST", f"/containers/{identity}/attach", None, {"stream": True, "stdout": True})
    with contextlib.closing(attached.sock) as sock:
        sock.settimeout(20)
        said = sock.recv(4096)  # it is the supervisor's now
        terminal.type("\x1a")
        terminal.expect("Stopped")
        while said.count(b"\n") < 10:
            said += sock.recv(4096)
        terminal.type("fg\n")
        assert client.call("GET", f"/containers/{identity}/json")["State"]["Running"]
    client.close()
    terminal.type("\x03")
    wait_until(lambda: not engine_answers(home.socket), "it ends")
