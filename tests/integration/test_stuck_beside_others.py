"""What is stuck is stuck alone: containers that do not move and file systems that do not answer hold nobody else up."""

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import homes
from engines import TestEngine
from hanging import Hanging, hanging
from images_made import busybox_image, docker_archive
from wardian.client import Client, Target
from wardian.home import Home
from wardian.kernel.procfs import status

IMAGE = "busybox:stuck"
# of one answer, on a busy machine; what waits for something stuck waits for ever, or for the 10 s of a look at a path
PATIENCE = 8.0
STUCK = ("sleeps-in-kernel", "stopped-supervisor", "frozen")


def _create(client: Client, name: str, *command: str, **host: Any) -> str:
    body = {
        "Image": IMAGE, "Cmd": command or ("sleep", "1000"), "StopTimeout": 0,
        "HostConfig": {"NetworkMode": "none"} | host,
    }  # fmt: skip
    made: Any = client.call("POST", "/containers/create", body, {"name": name})
    return str(made["Id"])


def _run(client: Client, name: str, *command: str, **host: Any) -> str:
    identity = _create(client, name, *command, **host)
    client.call("POST", f"/containers/{identity}/start")
    return identity


def _pid(client: Client, name: str) -> int:
    found: Any = client.call("GET", f"/containers/{name}/json")
    return int(found["State"]["Pid"])


def _wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def _is_free(lock: str) -> bool:
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


class Asked(threading.Thread):
    """A request whose answer nobody waits for."""

    def __init__(self, socket: str, method: str, path: str, body: object = None, /, **query: object) -> None:
        super().__init__(daemon=True)
        self._words = (method, path, body, query)
        self._client = Client(Target(socket))
        self.start()

    def run(self) -> None:
        with contextlib.suppress(Exception):
            self._client.request(*self._words)


@pytest.fixture(scope="module")
def stuck(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestEngine]:
    """An engine beside all that can be stuck: see the test's list."""
    engine = TestEngine(new_home())
    client = engine.client
    with client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    mounts = tmp_path_factory.mktemp("h")
    asked: list[Asked] = []
    with contextlib.ExitStack() as undo:
        undo.callback(engine.close)
        undo.callback(lambda: [one.join(30) for one in asked])
        dead = undo.enter_context(hanging(mounts / "dead"))
        _run(client, "well", "sh", "-c", "echo said; exec sleep 1000")
        _sleep_in_kernel(client, dead)
        _stand_still(client, engine.home.cgroup_base, undo)
        asked += _asks(engine, dead)
        before = dead.asked
        _wait_until(lambda: dead.asked > before or dead.asked > 2)
        yield engine


def _sleep_in_kernel(client: Client, dead: Hanging) -> None:
    """Its process asked the dead file system (state D, or S until the kernel counts it so): SIGKILL does not end it."""
    bind = [f"{dead.path}:/dead"]
    script = "until test -e /go; do sleep 0.02; done; ls /dead/x & wait; sleep 1000"
    _run(client, "sleeps-in-kernel", "sh", "-c", script, Binds=bind)
    dead.dead = True
    with open(f"/proc/{_pid(client, 'sleeps-in-kernel')}/root/go", "w"):
        pass
    _wait_until(lambda: dead.asked)


def _stand_still(client: Client, group: str, undo: contextlib.ExitStack) -> None:
    _run(client, "stopped-supervisor")
    supervisor = int(status(_pid(client, "stopped-supervisor"))["PPid"])
    os.kill(supervisor, signal.SIGSTOP)
    undo.callback(_let_go, supervisor)
    identity = _run(client, "frozen")
    for mount in homes.cgroup_mounts():  # by somebody else: no pause
        for file, stop, go in (("freezer.state", "FROZEN", "THAWED"), ("cgroup.freeze", "1", "0")):
            path = f"{mount}/{group}/containers/{identity}/{file}"
            if os.path.exists(path):
                _write(path, stop)
                undo.callback(_write, path, go)


def _write(path: str, text: str) -> None:
    with contextlib.suppress(FileNotFoundError), open(path, "w") as file:
        file.write(text)


def _let_go(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _asks(engine: TestEngine, dead: Hanging) -> list[Asked]:
    """Requests under way that hang, one of each kind."""
    socket, client = engine.socket, engine.client
    _create(client, "start-hangs", "sleep", "1000", Binds=[f"{dead.path}/below:/dead"])
    volume = {"Name": "dead", "DriverOpts": {"type": "none", "o": "bind", "device": f"{dead.path}/volume"}}
    client.request("POST", "/volumes/create", volume)
    mount = [{"Type": "bind", "Source": f"{dead.path}/source", "Target": "/x"}]
    return [
        Asked(socket, "POST", "/containers/start-hangs/start"),
        Asked(socket, "POST", "/containers/create", {"Image": IMAGE, "HostConfig": {"Mounts": mount}}),
        Asked(socket, "POST", "/containers/create", {"Image": IMAGE, "HostConfig": {"Binds": ["dead:/x"]}}),
        Asked(socket, "GET", "/containers/sleeps-in-kernel/archive", path="/dead/x"),
        Asked(socket, "GET", "/containers/stopped-supervisor/archive", path="/etc"),
        Asked(socket, "GET", "/containers/sleeps-in-kernel/export"),
        Asked(socket, "POST", "/commit", container="sleeps-in-kernel", pause="true"),
        Asked(socket, "POST", "/containers/sleeps-in-kernel/stop", t=0),
        Asked(socket, "POST", "/containers/stopped-supervisor/stop", t=0),
        Asked(socket, "POST", "/containers/frozen/restart", t=0),
        Asked(socket, "DELETE", "/containers/stopped-supervisor", force="true"),
        Asked(socket, "POST", "/containers/frozen/resize", h=10, w=10),
        Asked(socket, "POST", "/containers/frozen/update", {"PidsLimit": 99}),
    ]


READS: tuple[tuple[str, dict[str, object]], ...] = (
    ("/containers/json", {"all": True}),
    ("/containers/json", {"all": True, "size": True}),
    ("/containers/{}/json", {}),
    ("/containers/{}/json", {"size": True}),
    ("/containers/{}/logs", {"stdout": True, "stderr": True}),
    ("/containers/{}/stats", {"stream": "false", "one-shot": "true"}),
    ("/containers/{}/stats", {"stream": "false"}),
    ("/containers/{}/top", {}),
    ("/events", {"since": "0", "until": "1"}),
    ("/info", {}),
    ("/version", {}),
    ("/_ping", {}),
    ("/system/df", {}),
    ("/images/json", {"all": True}),
    (f"/images/{IMAGE}/json", {}),
    ("/volumes", {}),
    ("/volumes/dead", {}),
    ("/networks", {}),
    ("/networks/bridge", {}),
    ("/metrics", {}),
    ("/wardian/containers/{}/explain", {}),
)


def _answers(engine: TestEngine, method: str, path: str, body: object = None, /, **query: object) -> int:
    """The status. The client's own connection: none waits behind another's request."""
    client = Client(Target(engine.socket))
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(client.request(method, path, body, query)), daemon=True)
    begun = time.monotonic()
    asking.start()
    asking.join(PATIENCE)
    if not found:
        pytest.fail(f"{method} {path} {query}: no answer in {time.monotonic() - begun:.1f} s\n{engine.log_text()}")
    client.close()
    return int(found[0].status)


@pytest.mark.parametrize(("path", "query"), READS, ids=lambda value: str(value))
def test_reads(stuck: TestEngine, path: str, query: dict[str, object]) -> None:
    names = ("well", *STUCK) if "{}" in path else ("",)
    if query == {"stream": "false"}:  # two samples, a second apart
        names = ("well", "frozen")
    for name in names:
        code = _answers(stuck, "GET", path.format(name), **query)
        assert code in (200, 404) and (code == 200 or "explain" in path or "metrics" in path), (name, code)


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_a_life_of_another(stuck: TestEngine, network: str) -> None:
    name = f"other-{network}"
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": network, "Binds": [f"{name}:/v"]}}
    assert _answers(stuck, "POST", "/containers/create", body, name=name) == 201
    assert _answers(stuck, "POST", f"/containers/{name}/start") == 204
    made = stuck.client.call("POST", f"/containers/{name}/exec", {"Cmd": ["true"], "AttachStdout": True})
    assert _answers(stuck, "POST", f"/exec/{made['Id']}/start", {"Detach": True}) == 200  # type: ignore[index,call-overload]
    assert _answers(stuck, "GET", f"/containers/{name}/archive", path="/etc/passwd") == 200
    for verb in ("pause", "unpause", "restart", "stop"):
        assert _answers(stuck, "POST", f"/containers/{name}/{verb}", **({"t": 0} if verb[-1] in "tp" else {})) == 204
    assert _answers(stuck, "GET", f"/containers/{name}/changes") == 200
    assert _answers(stuck, "DELETE", f"/containers/{name}", force=True) == 204
    assert _answers(stuck, "DELETE", f"/volumes/{name}") == 204


@pytest.mark.soak  # such a look is given up after ten seconds
def test_execs_that_hang_are_few_and_no_others_matter(stuck: TestEngine) -> None:
    body = {"Cmd": ["true"], "WorkingDir": "/dead/x"}
    ids = [stuck.client.call("POST", "/containers/sleeps-in-kernel/exec", body)["Id"] for _ in range(9)]  # type: ignore[index,call-overload]
    hanging = [Asked(stuck.socket, "POST", f"/exec/{one}/start", {"Detach": True}) for one in ids[:8]]
    for one in hanging:
        one.join(30)
    assert _answers(stuck, "POST", f"/exec/{ids[8]}/start", {"Detach": True}) == 503
    made = stuck.client.call("POST", "/containers/well/exec", {"Cmd": ["true"]})
    assert _answers(stuck, "POST", f"/exec/{made['Id']}/start", {"Detach": True}) == 200  # type: ignore[index,call-overload]


@pytest.mark.soak  # the engine gives requests under way five seconds
def test_the_next_engine_starts_beside_them(stuck: TestEngine) -> None:
    """The one before ends when it is told to, but for threads that the kernel holds; its lock and socket are free."""
    before = stuck.process
    before.terminate()
    _wait_until(lambda: _is_free(f"{stuck.home.data_root}/engine.lock"))
    stuck.start()
    states = {line["Names"][0].strip("/"): line["State"] for line in stuck.containers()}
    assert states["well"] == "running" and set(STUCK) <= set(states)
    assert _answers(stuck, "GET", "/containers/well/json") == 200
    threading.Thread(target=before.wait).start()  # it goes with the dead file system
