"""Today's engine on what later versions left running: published ports and names, and, of the latest, health checks,
restart policies, volumes, and clients that follow logs and events. A client asks by the port without a pause.
"""

import contextlib
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from earlier import LIVES, NETWORKS, Earlier, source_of
from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client import Client, Target
from wardian.home import Home

pytestmark = pytest.mark.soak
IMAGE = "busybox:upgraded"
COUNTS = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"
SERVES = "mkdir -p /www && echo served > /www/index.html && exec httpd -f -p 80 -h /www"
HEALTHY = {"Test": ["CMD", "test", "-e", "/"], "Interval": 500_000_000, "Retries": 1}


class Load(threading.Thread):
    """Asks the published port without a pause, each time anew."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._over = False
        self.answered = 0
        self.wrong: list[str] = []
        self.start()

    def run(self) -> None:
        while not self._over:
            try:
                if served(self._port) == "served\n":
                    self.answered += 1
                else:
                    self.wrong.append("another answer")
            except OSError as error:
                self.wrong.append(repr(error))
            time.sleep(0.01)

    def end(self) -> None:
        self._over = True
        self.join(20)


def served(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
        return str(response.read().decode())


class Lived(NamedTuple):
    """What was begun in the earlier engine."""

    port: int
    load: Load
    places: dict[str, tuple[Any, ...]]
    last_event: int  # 0: that version gave none


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _run(client: Client, name: str, script: str, host: Any = None, **fields: Any) -> None:
    body = {"Image": IMAGE, "Cmd": ["sh", "-c", script], "HostConfig": host or {}} | fields
    client.call("POST", "/containers/create", body, {"name": name})
    client.call("POST", f"/containers/{name}/start")


def _found(client: Client, name: str) -> dict[str, Any]:
    found: Any = client.call("GET", f"/containers/{name}/json")
    return dict(found)


def _place(client: Client, name: str) -> tuple[Any, ...]:
    found = _found(client, name)
    addresses = {network: one["IPAddress"] for network, one in found["NetworkSettings"]["Networks"].items()}
    return found["State"]["Pid"], found["State"]["StartedAt"], addresses, found["RestartCount"]


def _said(client: Client, name: str, *command: str) -> str:
    body = {"Cmd": list(command), "AttachStdout": True, "Tty": True}
    made: Any = client.call("POST", f"/containers/{name}/exec", body)
    started = client.hijack("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": True})
    said = started.early
    with contextlib.closing(started.sock) as sock:
        sock.settimeout(20)
        while piece := sock.recv(65536):
            said += piece
    return said.decode().replace("\r", "")


def _wait_until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def _begin(client: Client, with_lives: bool) -> Lived:
    with client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    client.call("POST", "/networks/create", {"Name": "front"})
    port = _free_port()
    ports = {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}, "NetworkMode": "front"}
    _run(client, "web", SERVES, ports, ExposedPorts={"80/tcp": {}})
    _run(client, "asks", COUNTS, {"NetworkMode": "front"})
    names, last = ["web", "asks"], 0
    if with_lives:
        client.call("POST", "/volumes/create", {"Name": "kept"})
        always = {"RestartPolicy": {"Name": "always"}}
        _run(client, "writes", "echo kept >> /kept/file; exec sleep 1000", {"Binds": ["kept:/kept"]} | always)
        _run(client, "healthy", "exec sleep 1000", Healthcheck=HEALTHY)
        _run(client, "falls", "exec sleep 1000", always)
        names += ["writes", "healthy"]
        _wait_until(lambda: _found(client, "healthy")["State"]["Health"]["Status"] == "healthy", "healthy")
        info: Any = client.call("GET", "/info")
        last = info["Wardian"]["LastEvent"]
    _wait_until(lambda: _said(client, "asks", "wget", "-q", "-O-", "http://web/") == "served\n", "served by name")
    load = Load(port)
    _wait_until(lambda: load.answered or load.wrong, "served by the port")
    return Lived(port, load, {name: _place(client, name) for name in names}, last)


@pytest.fixture(scope="module", params=[NETWORKS, LIVES], ids=["networks", "lives"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bool]:
    return source_of(request.param, str(tmp_path_factory.mktemp("earlier"))), request.param == LIVES


@pytest.fixture(params=[signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def upgraded(
    request: pytest.FixtureRequest, source: tuple[str, bool], new_home: Callable[[], Home]
) -> Iterator[tuple[TestEngine, Lived]]:
    home = new_home()
    started: list[TestEngine] = []
    earlier = Earlier(source[0], home)
    client = Client(Target(home.socket))
    try:
        try:
            lived = _begin(client, source[1])
            if source[1]:  # its policy brings it back with the next engine
                falls = _found(client, "falls")["State"]["Pid"]
        finally:
            client.close()
            earlier.end(request.param)
        if source[1]:
            os.kill(falls, signal.SIGKILL)
        time.sleep(1)  # the port is asked while there is no engine
        started.append(TestEngine(home))
        yield started[0], lived
        lived.load.end()
    finally:
        engine = started[0] if started else TestEngine(home)
        engine.remove_containers()
        engine.remove_networks()
        engine.close()


def test_upgrade_under_load(upgraded: tuple[TestEngine, Lived]) -> None:
    engine, lived = upgraded
    client = engine.client
    assert {name: _place(client, name) for name in lived.places} == lived.places
    _network_goes_on(client, lived)
    _log_is_whole(client)
    if lived.last_event:
        _lives_go_on(client, lived)
    _let_go(client, lived)


def _network_goes_on(client: Client, lived: Lived) -> None:
    before = lived.load.answered
    _wait_until(lambda: lived.load.answered > before + 20, "the port is served")
    assert not lived.load.wrong
    assert _said(client, "asks", "wget", "-q", "-O-", "http://web/") == "served\n"
    _run(client, "later", "exec sleep 1000", {"NetworkMode": "front"})
    assert _said(client, "later", "wget", "-q", "-O-", "http://web/") == "served\n"
    assert "1 packets received" in _said(client, "web", "ping", "-c", "1", "-W", "5", "later")


def _log_is_whole(client: Client) -> None:
    response = client.request("GET", "/containers/asks/logs", None, {"stdout": True})
    rest, content = response.body, b""
    while rest:  # of the stream's frames
        size = 8 + int.from_bytes(rest[4:8], "big")
        rest, content = rest[size:], content + rest[8:size]
    lines = [int(line) for line in content.splitlines()]
    assert lines == list(range(len(lines))) and len(lines) > 20


def _lives_go_on(client: Client, lived: Lived) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

    def health() -> dict[str, Any]:
        return dict(_found(client, "healthy")["State"]["Health"])

    _wait_until(lambda: health()["Status"] == "healthy" and health()["Log"][-1]["Start"] > now, "looked at again")
    _wait_until(lambda: _found(client, "falls")["State"]["Running"], "its policy is applied")
    assert _said(client, "writes", "cat", "/kept/file") == "kept\n"
    os.kill(_found(client, "writes")["State"]["Pid"], signal.SIGKILL)
    _wait_until(lambda: _found(client, "writes")["RestartCount"] == 1, "it is brought back")
    _wait_until(lambda: _found(client, "writes")["State"]["Pid"], "it runs again")
    _wait_until(lambda: _said(client, "writes", "cat", "/kept/file") == "kept\nkept\n", "with its volume")
    query = {
        "since": f"id:{lived.last_event}",
        "until": f"{time.time():.6f}",
        "filters": json.dumps({"type": ["container"]}),
    }
    with client.stream("GET", "/events", query=query) as stream:
        found: list[Any] = list(stream.objects())
    identities = [event["Wardian"]["ID"] for event in found]
    assert identities == sorted(set(identities))
    told = [(event["Action"], event["Actor"]["Attributes"]["name"]) for event in found]
    life = [one for one in told if one[0] in ("die", "start") and one[1] in ("falls", "writes", "later")]
    assert sorted(life) == sorted(
        [("die", "falls"), ("start", "falls"), ("start", "later"), ("die", "writes"), ("start", "writes")]
    )


def _let_go(client: Client, lived: Lived) -> None:
    """What an earlier version made, this one takes away: the port is free for another."""
    lived.load.end()
    client.call("DELETE", "/containers/web", None, {"force": True})
    ports = {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(lived.port)}]}}
    _run(client, "web2", SERVES, ports, ExposedPorts={"80/tcp": {}})
    _wait_until(lambda: _serves(lived.port), "another serves")


def _serves(port: int) -> bool:
    try:
        return served(port) == "served\n"
    except OSError:
        return False
