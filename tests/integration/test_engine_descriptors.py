"""The engine's descriptors: as many as it may have, some of them kept for what ends containers."""

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client import Client
from wardian.engine.descriptors import KEPT

IMAGE = "busybox:descriptors"


@pytest.fixture
def started(new_engine: Callable[..., TestEngine]) -> Iterator[TestEngine]:
    """By somebody whose soft limit is a small one."""
    with _soft_limit(1000):
        engine = new_engine()
    with engine.client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as one:
        one.read()
    yield engine
    raised = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (raised, raised))


@contextlib.contextmanager
def _soft_limit(soft: int) -> Iterator[None]:
    """Of what is started meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _create(client: Client, *command: str) -> Any:
    body = {"Image": IMAGE, "Cmd": command, "StopTimeout": 0, "HostConfig": {"NetworkMode": "none"}}
    return client.request("POST", "/containers/create", body)


def _ran(client: Client, *command: str) -> str:
    identity = str(_create(client, *command).json()["Id"])
    client.call("POST", f"/containers/{identity}/start")
    client.call("POST", f"/containers/{identity}/wait")
    with client.stream("GET", f"/containers/{identity}/logs", query={"stdout": True}) as logs:
        return logs.read()[8:].decode()


def _limit_of_exec(client: Client, identity: str) -> str:
    body = {"Cmd": ["sh", "-c", "echo $(ulimit -Sn) $(ulimit -Hn)"], "AttachStdout": True}
    executed = client.call("POST", f"/containers/{identity}/exec", body)["Id"]
    with client.stream("POST", f"/exec/{executed}/start", {}) as said:
        return said.read()[8:].decode().strip()


def test_it_takes_what_it_may_and_containers_have_what_it_was_given(started: TestEngine) -> None:
    soft, hard = resource.prlimit(started.pid, resource.RLIMIT_NOFILE)
    assert soft == hard > 1000
    assert _ran(started.client, "sh", "-c", "echo $(ulimit -Sn) $(ulimit -Hn)") == f"1000 {hard}\n"


def test_a_limit_that_nobody_asked_for_is_a_step_and_an_exec_has_it(started: TestEngine) -> None:
    client = started.client
    hard = resource.prlimit(started.pid, resource.RLIMIT_NOFILE)[1]
    identity = str(_create(client, "sleep", "1000").json()["Id"])
    client.call("POST", f"/containers/{identity}/start")
    explained = client.call("GET", f"/wardian/containers/{identity}/explain")
    steps = [step["Description"] for step in explained["Steps"] if step["Description"].startswith("limit")]
    assert steps == [f"limit NOFILE soft 1000 hard {hard}"]
    assert _limit_of_exec(client, identity) == f"1000 {hard}"
    started.terminate()
    with _soft_limit(900):  # another engine has another limit: the container keeps that which it was started with
        started.start()
    assert _limit_of_exec(client, identity) == f"1000 {hard}"
    assert _ran(client, "sh", "-c", "ulimit -Sn") == "900\n"
    assert client.request("POST", f"/containers/{identity}/stop").status == 204


def _leave(engine: TestEngine, number: int) -> None:
    """So many more descriptors may the engine open."""
    hard = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)[1]
    limit = len(os.listdir(f"/proc/{engine.pid}/fd")) + number
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (limit, hard))


def test_the_last_ones_are_for_the_end_of_containers(started: TestEngine) -> None:
    client = started.client
    running, waiting = (str(_create(client, "sleep", "1000").json()["Id"]) for _ in range(2))
    client.call("POST", f"/containers/{running}/start")
    executed = client.call("POST", f"/containers/{running}/exec", {"Cmd": ["true"]})["Id"]
    _leave(started, KEPT - 8)
    refused = [
        _create(client, "true"),
        client.request("POST", f"/containers/{waiting}/start"),
        client.request("POST", f"/exec/{executed}/start", {}),
    ]
    for answer in refused:
        assert answer.status == 503 and b"keeps the last" in answer.body, answer.body
    assert client.request("POST", f"/containers/{running}/stop").status == 204
    for identity in (running, waiting):
        assert client.request("DELETE", f"/containers/{identity}").status == 204
    _leave(started, KEPT + 40)
    assert _ran(client, "echo", "again") == "again\n"


def _until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_a_restart_waits_until_there_are_enough(started: TestEngine) -> None:
    client = started.client
    host = {"NetworkMode": "none", "RestartPolicy": {"Name": "always"}}
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "StopTimeout": 0, "HostConfig": host}
    identity = str(client.call("POST", "/containers/create", body)["Id"])
    client.call("POST", f"/containers/{identity}/start")

    def state() -> dict[str, Any]:
        return dict(client.call("GET", f"/containers/{identity}/json")["State"])

    first = state()["Pid"]
    _leave(started, KEPT - 16)
    os.kill(first, 9)
    _until(lambda: "keeps the last" in state()["Error"], "it is said why it does not run")
    assert state()["Restarting"] and not state()["Pid"]
    _leave(started, KEPT + 40)
    _until(lambda: state()["Pid"], "it runs again")
    assert state()["Error"] == ""
    client.call("DELETE", f"/containers/{identity}", query={"force": True})


def test_a_health_check_is_left_out_and_its_container_is_as_healthy_as_before(started: TestEngine) -> None:
    client = started.client
    check = {"Test": ["CMD", "true"], "Interval": 100_000_000, "Retries": 1}
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "Healthcheck": check, "HostConfig": {"NetworkMode": "none"}}
    identity = str(client.call("POST", "/containers/create", body)["Id"])
    client.call("POST", f"/containers/{identity}/start")

    def last() -> tuple[str, str]:
        health = client.call("GET", f"/containers/{identity}/json")["State"]["Health"]
        return health["Status"], health["Log"][-1]["Start"] if health["Log"] else ""

    _until(lambda: last()[0] == "healthy", "it is healthy")
    _leave(started, KEPT - 16)
    _until(lambda: "its health is not checked" in started.log_text(), "it is said")
    before = last()
    time.sleep(0.5)  # some times of checks go by
    assert last() == before and before[0] == "healthy"
    assert started.log_text().count("its health is not checked") == 1
    _leave(started, KEPT + 40)
    _until(lambda: last() > before, "it is checked again")
    client.call("DELETE", f"/containers/{identity}", query={"force": True})


def test_connections_that_cannot_be_taken_are_told_once(started: TestEngine) -> None:
    _leave(started, 2)
    with contextlib.ExitStack() as undo:
        for _ in range(8):
            one = undo.enter_context(socket.socket(socket.AF_UNIX))
            one.connect(started.socket)
        end = time.monotonic() + 20
        while "cannot be taken" not in started.log_text():
            assert time.monotonic() < end
            time.sleep(0.02)
    assert started.client.request("GET", "/_ping").status == 200  # they are taken again
    said = started.log_text()
    assert said.count("cannot be taken") == 1 and "socket.accept()" not in said, said
