"""Today's engine on the data and run root of an earlier one, whose supervisors, containers and streams are still there.

What later ones had besides is in test_upgrade_later.py.
"""

import contextlib
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from earlier import FIRST, LIVES, NETWORKS, Earlier, source_of
from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client import Client, Target
from wardian.client.wire import Hijacked
from wardian.home import Home

# soak: a clone without history has no earlier version
pytestmark = pytest.mark.soak
IMAGE = "busybox:upgraded"
COUNTS = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"
QUICKLY = COUNTS.replace("sleep 0.05", "usleep 1000")


@pytest.fixture(scope="module", params=[FIRST, NETWORKS, LIVES], ids=["first", "networks", "lives"])
def earlier_source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return source_of(request.param, str(tmp_path_factory.mktemp("earlier")))


class Raw:
    """A connection that the engine has given away."""

    def __init__(self, hijacked: Hijacked) -> None:
        self._early, self._sock = hijacked.early, hijacked.sock
        self._sock.settimeout(20)

    def byte(self) -> bytes:
        """The next, b"" at the end."""
        if not self._early:
            return self._sock.recv(1)
        first, self._early = self._early[:1], self._early[1:]
        return first

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def close(self) -> None:
        self._sock.close()


class Lived(NamedTuple):
    """What was begun in the earlier engine."""

    counts: str
    quickly: str
    echoes: str
    ends: str  # while no engine runs
    before: str  # it had ended already
    attached: Raw
    typed: Raw
    executed: Raw
    places: dict[str, tuple[int, str, str]]  # pid, start, address


def _create(client: Client, name: str, script: str, **more: Any) -> str:
    body = {"Image": IMAGE, "Cmd": ["sh", "-c", script]} | more
    made: Any = client.call("POST", "/containers/create", body, {"name": name})
    return str(made["Id"])


def _state(client: Client, identity: str) -> dict[str, Any]:
    found: Any = client.call("GET", f"/containers/{identity}/json")
    return dict(found["State"])


def _place(client: Client, identity: str) -> tuple[int, str, str]:
    found: Any = client.call("GET", f"/containers/{identity}/json")
    state, network = found["State"], found["NetworkSettings"]["Networks"]["bridge"]
    return state["Pid"], state["StartedAt"], network["IPAddress"]


def _attach(client: Client, identity: str, **query: bool) -> Raw:
    attached = client.hijack("POST", f"/containers/{identity}/attach", None, {"stream": True, "stdout": True} | query)
    return Raw(attached)


def _execute(client: Client, identity: str, script: str) -> Raw:
    body = {"Cmd": ["sh", "-c", script], "AttachStdout": True, "Tty": True}
    made: Any = client.call("POST", f"/containers/{identity}/exec", body)
    started = client.hijack("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": True})
    return Raw(started)


def _touch(client: Client, identity: str, path: str) -> None:
    with contextlib.closing(_execute(client, identity, f"touch {path}")) as sock:
        assert sock.byte() == b""


def _lines(sock: Raw, count: int) -> list[str]:
    """So many lines of a terminal."""
    text = b""
    while text.count(b"\n") < count:
        piece = sock.byte()
        assert piece, f"the stream ended after {text!r}"
        text += piece
    return text.decode().replace("\r", "").splitlines()


def _log(client: Client, identity: str) -> list[str]:
    response = client.request("GET", f"/containers/{identity}/logs", None, {"stdout": True})
    assert response.status == 200, response.body
    return response.body.decode().replace("\r", "").splitlines()


def _begin(client: Client) -> Lived:
    with client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    counts = _create(client, "counts", COUNTS, Tty=True)
    quickly = _create(client, "quickly", QUICKLY, Tty=True)
    echoes = _create(client, "echoes", "stty -echo; echo ready; exec cat", Tty=True, OpenStdin=True)
    ends = _create(client, "ends", "until test -e /end; do sleep 0.02; done; sleep 0.7; exit 4")
    before = _create(client, "before", "exit 3")
    attached, typed = _attach(client, counts), _attach(client, echoes, stdin=True)
    for identity in (counts, quickly, echoes, ends, before):
        client.call("POST", f"/containers/{identity}/start")
    client.call("POST", f"/containers/{before}/wait")
    executed = _execute(client, echoes, "echo begun; until test -e /go; do sleep 0.02; done; echo done")
    assert (_lines(typed, 1), _lines(executed, 1)) == (["ready"], ["begun"])
    places = {identity: _place(client, identity) for identity in (counts, echoes)}
    _touch(client, ends, "/end")
    return Lived(counts, quickly, echoes, ends, before, attached, typed, executed, places)


@pytest.fixture(params=[signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def upgraded(request: pytest.FixtureRequest, earlier_source: str, home: Home) -> Iterator[tuple[TestEngine, Lived]]:
    started: list[TestEngine] = []
    earlier = Earlier(earlier_source, home)
    client = Client(Target(home.socket))
    with contextlib.ExitStack() as closing:
        try:
            closing.callback(lambda: TestEngine(home).close() if not started else started[0].close())
            lived = _begin(client)
        finally:
            client.close()
            earlier.end(request.param)
        time.sleep(1)  # one of them ends now
        started.append(TestEngine(home))
        for sock in (lived.attached, lived.typed, lived.executed):
            closing.callback(sock.close)
        yield started[0], lived


def test_upgrade(upgraded: tuple[TestEngine, Lived]) -> None:
    engine, lived = upgraded
    client = engine.client
    assert {line["Names"][0]: line["State"] for line in engine.containers()} == {
        "/counts": "running", "/quickly": "running", "/echoes": "running", "/ends": "exited", "/before": "exited",
    }  # fmt: skip
    assert {identity: _place(client, identity) for identity in lived.places} == lived.places
    assert [_state(client, one)["ExitCode"] for one in (lived.ends, lived.before)] == [4, 3]
    _migrated(engine.home)
    _streams_go_on(client, lived)
    _log_before_stream(client, lived)
    _works(client, lived)


def _migrated(home: Home) -> None:
    with contextlib.closing(sqlite3.connect(home.database)) as database:
        versions = dict(database.execute("SELECT name, version FROM schema_version"))
        assert versions["engine"] > 1, versions  # that of the earlier one
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _streams_go_on(client: Client, lived: Lived) -> None:
    """Nothing lost, nothing twice, while there was no engine."""
    numbers = [int(line) for line in _lines(lived.attached, 30)]
    assert numbers == list(range(30))
    logged = [int(line) for line in _log(client, lived.counts)]
    assert logged == list(range(len(logged))) and len(logged) > 20
    lived.typed.send(b"after\n")
    assert _lines(lived.typed, 1) == ["after"]
    _touch(client, lived.echoes, "/go")
    assert _lines(lived.executed, 1) == ["done"]
    assert lived.executed.byte() == b""


def _log_before_stream(client: Client, lived: Lived) -> None:
    """Nothing twice, and no line in another: an earlier supervisor holds no output back while the log is shown."""
    for _ in range(20):
        begun = len(_log(client, lived.quickly))
        with contextlib.closing(_attach(client, lived.quickly, logs=True)) as sock:
            numbers = [int(line) for line in _lines(sock, begun + 50)]
        assert numbers == sorted(set(numbers)) and numbers[:begun] == list(range(begun))


def _works(client: Client, lived: Lived) -> None:
    """All that one does with a container: exec, ping by the network, pause, rename, stop, start, wait, remove."""
    address = lived.places[lived.counts][2]
    ping = f"ping -c 1 -W 5 {address} >/dev/null && echo reached"
    with contextlib.closing(_execute(client, lived.echoes, ping)) as sock:
        assert _lines(sock, 1) == ["reached"]
    path = f"/containers/{lived.counts}"
    client.call("POST", f"{path}/pause")
    assert _state(client, lived.counts)["Paused"]
    client.call("POST", f"{path}/unpause")
    client.call("POST", f"{path}/rename", None, {"name": "counted"})
    client.call("POST", f"{path}/stop", None, {"t": 0})
    assert _state(client, lived.counts)["ExitCode"] == 137
    client.call("POST", f"{path}/start")
    assert _state(client, lived.counts)["Running"]
    for identity in (lived.counts, lived.before):
        client.call("DELETE", f"/containers/{identity}", None, {"force": True, "v": True})
    later = _create(client, "later", "exit 5")
    client.call("POST", f"/containers/{later}/start")
    waited: Any = client.call("POST", f"/containers/{later}/wait")
    assert waited["StatusCode"] == 5
