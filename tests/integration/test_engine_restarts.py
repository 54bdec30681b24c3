"""Restart policies over the end of an engine and of its host, and what an engine's end takes from who waits."""

import asyncio
import os
import resource
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benches import Bench, refused
from wardian.engine import Engine
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, NOT_FOUND, WardianError
from wardian.kernel.procfs import boot_id
from wardian.storage import lock_root

SLEEP = ("sleep", "1000")


def policy(name: str, most: int = 0) -> dict[str, Any]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": most}}


def wait_until(bench: Bench, condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, f"not within 10 s: {what}"
        bench.loop.run_until_complete(asyncio.sleep(0.02))


def status(bench: Bench, identity: str) -> str:
    return str(bench.state(identity)["Status"])


def restarts(bench: Bench, identity: str) -> int:
    return int(bench.engine.containers.inspect(identity)["RestartCount"])


def let_engine_pass(bench: Bench, meanwhile: Callable[[], object] = lambda: None) -> None:
    bench.run(bench.engine.close())
    meanwhile()
    bench.engine = Engine(bench.home)
    bench.run(bench.engine.start())


def after_a_reboot(bench: Bench, *pids: int) -> Callable[[], None]:
    """What a power loss leaves: no process, no exit record, and another boot's id in the rows."""

    def change() -> None:
        for pid in pids:
            with open(f"/proc/{pid}/stat") as file:
                supervisor = int(file.read().rpartition(")")[2].split()[1])
            os.kill(supervisor, 9)
            os.kill(pid, 9)
        with closing(sqlite3.connect(bench.home.database)) as database, database:
            database.execute("UPDATE container_state SET record = replace(record, ?, ?)", (boot_id(), "another boot"))

    return change


def test_what_waits_goes_on_waiting_with_the_next_engine(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "exit 1", **policy("always"))
    wait_until(bench, lambda: restarts(bench, identity) >= 5 and status(bench, identity) == "restarting", "it waits")
    counted, ended = restarts(bench, identity), bench.state(identity)["FinishedAt"]
    let_engine_pass(bench)
    assert status(bench, identity) == "restarting" or restarts(bench, identity) > counted
    wait_until(bench, lambda: restarts(bench, identity) > counted, "it came back, and the count went on")
    assert bench.state(identity)["FinishedAt"] > ended


def test_what_ended_while_no_engine_looked_comes_back(bench: Bench) -> None:
    identity = bench.start(*SLEEP, **policy("unless-stopped"))
    pid = bench.state(identity)["Pid"]

    def kill() -> None:
        os.kill(pid, 9)
        while os.path.exists(f"/proc/{pid}") or not os.path.exists(f"{bench.home.run_container(identity)}/exit"):
            time.sleep(0.01)

    let_engine_pass(bench, kill)
    wait_until(bench, lambda: bench.state(identity)["Pid"] not in (0, pid), "it runs again")
    assert restarts(bench, identity) == 1


def test_what_runs_is_left_alone(bench: Bench) -> None:
    identity = bench.start(*SLEEP, **policy("always"))
    pid = bench.state(identity)["Pid"]
    let_engine_pass(bench)
    bench.loop.run_until_complete(asyncio.sleep(0.3))
    assert (bench.state(identity)["Pid"], restarts(bench, identity)) == (pid, 0)


@pytest.mark.parametrize(
    ("name", "comes"), [("always", True), ("unless-stopped", False), ("on-failure", False), ("no", False)]
)
def test_what_was_stopped_by_hand(bench: Bench, name: str, comes: bool) -> None:
    """Docker's difference of always and unless-stopped; and nobody starts what was never started."""
    never = bench.create(*SLEEP, **policy("always"))
    identity = bench.start(*SLEEP, **policy(name))
    bench.run(bench.engine.containers.stop(identity, timeout=0))
    bench.loop.run_until_complete(asyncio.sleep(0.3))
    assert status(bench, identity) == "exited"
    let_engine_pass(bench)
    if comes:
        wait_until(bench, lambda: status(bench, identity) == "running", "it comes with the engine")
    else:
        bench.loop.run_until_complete(asyncio.sleep(0.4))
        assert status(bench, identity) == "exited"
    assert status(bench, never) == "created"


def test_after_a_reboot(bench: Bench) -> None:
    """What ran has ended with its host; policies bring it back, each after those that it needs."""
    names = ("always", "unless-stopped", "on-failure", "no")
    ran = {name: bench.start(*SLEEP, **policy(name)) for name in names}
    joiner = bench.start(*SLEEP, **policy("always"), NetworkMode=f"container:{ran['always']}")
    stopped = bench.start(*SLEEP, **policy("unless-stopped"))
    bench.run(bench.engine.containers.stop(stopped, timeout=0))
    pids = [bench.state(one)["Pid"] for one in (*ran.values(), joiner)]
    let_engine_pass(bench, after_a_reboot(bench, *pids))
    for one in (ran["always"], ran["unless-stopped"], ran["on-failure"], joiner):
        wait_until(bench, lambda one=one: status(bench, one) == "running", "it comes back")  # type: ignore[misc]
    gone = bench.state(ran["no"])
    assert (gone["Status"], gone["ExitCode"]) == ("exited", 255)
    assert gone["Reason"] == "the host went down while the container ran"
    assert status(bench, stopped) == "exited"


def test_what_needs_another_that_does_not_come_is_told_so(bench: Bench) -> None:
    other = bench.start(*SLEEP)
    joiner = bench.start(*SLEEP, **policy("always"), NetworkMode=f"container:{other}")
    pids = [bench.state(one)["Pid"] for one in (other, joiner)]
    let_engine_pass(bench, after_a_reboot(bench, *pids))
    wait_until(bench, lambda: "non running container" in bench.state(joiner)["Error"], "its error says why")
    assert status(bench, joiner) == "restarting"
    bench.run(bench.engine.containers.start(other))
    wait_until(bench, lambda: status(bench, joiner) == "running", "it comes when the other does")


def test_a_wait_for_the_removal_is_answered_by_the_next_engine(bench: Bench) -> None:
    """--rm, and the end comes while no engine looks: the next removes it, and knows how it had ended."""
    identity = bench.start("sh", "-c", "sleep 0.3; exit 6", AutoRemove=True)

    def ended() -> None:
        while not os.path.exists(f"{bench.home.run_container(identity)}/exit"):
            time.sleep(0.01)

    let_engine_pass(bench, ended)
    assert bench.engine.containers.list(all=True) == []

    async def wait() -> dict[str, Any]:
        return await bench.engine.containers.wait(identity, "removed")

    assert bench.run(wait()) == {"StatusCode": 6}
    refused(NOT_FOUND, lambda: bench.run(bench.engine.containers.stop(identity)))


def test_a_lost_supervisor_comes_back_by_its_policy(bench: Bench) -> None:
    identity = bench.start(*SLEEP, **policy("on-failure", 3))
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/stat") as file:
        os.kill(int(file.read().rpartition(")")[2].split()[1]), 9)
    wait_until(bench, lambda: bench.state(identity)["Pid"] not in (0, pid), "it runs again")
    assert restarts(bench, identity) == 1


def test_a_removal_while_it_waits_and_while_it_starts(bench: Bench) -> None:
    """Whenever it comes, nothing of it is left."""
    for pause in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
        identity = bench.start("sh", "-c", "exit 1", **policy("always"))
        bench.loop.run_until_complete(asyncio.sleep(pause))
        bench.run(bench.engine.containers.remove(identity, force=True))
        refused(NOT_FOUND, lambda identity=identity: bench.state(identity))  # type: ignore[misc]
        while os.path.exists(bench.home.run_container(identity)):  # by the trash's thread
            time.sleep(0.01)


def test_a_stop_while_it_waits_and_while_it_starts(bench: Bench) -> None:
    for pause in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
        identity = bench.start("sh", "-c", "exit 1", **policy("always"))
        bench.loop.run_until_complete(asyncio.sleep(pause))
        bench.run(bench.engine.containers.stop(identity))
        assert status(bench, identity) == "exited"
        bench.loop.run_until_complete(asyncio.sleep(0.25))
        assert status(bench, identity) == "exited"


def test_what_cannot_be_done_while_it_waits(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "exit 1", **policy("always"))
    wait_until(bench, lambda: restarts(bench, identity) >= 5 and status(bench, identity) == "restarting", "it waits")
    containers = bench.engine.containers
    words = "restarting, wait until the container is running"
    assert words in refused(CONFLICT, lambda: bench.run(containers.pause(identity)))
    assert words in refused(CONFLICT, lambda: bench.run(containers.top(identity)))
    assert words in refused(CONFLICT, lambda: bench.run(bench.engine.execs.create(identity, {"Cmd": ["true"]})))
    assert identity[:12] in [line["Id"][:12] for line in containers.list()]


def test_it_waits_for_who_looks_at_its_files(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "sleep 0.5; exit 1", **policy("always"))
    wait_until(bench, lambda: status(bench, identity) == "restarting", "it waits")
    with lock_root(bench.home, identity, "cp"):
        bench.loop.run_until_complete(asyncio.sleep(0.6))
        assert (status(bench, identity), restarts(bench, identity)) == ("restarting", 1)
    wait_until(bench, lambda: status(bench, identity) == "running", "it comes back")
    with lock_root(bench.home, identity, "cp", 5.0):
        wait_until(bench, lambda: status(bench, identity) == "restarting", "it ends again")
        bench.loop.run_until_complete(asyncio.sleep(0.4))
        bench.run(bench.engine.containers.stop(identity))
        assert status(bench, identity) == "exited"


def missing(path: str) -> dict[str, Any]:
    """A mount whose source can be taken away between a container's end and its next start."""
    os.makedirs(path)
    return {"Mounts": [{"Type": "bind", "Source": path, "Target": "/mnt"}]}


def test_a_start_of_the_policy_that_fails_is_tried_again(bench: Bench, tmp_path: Path) -> None:
    source = str(tmp_path / "disk")
    identity = bench.start(
        "sh", "-c", "[ -e /mnt/end ] && exit 1; exec sleep 1000", **policy("always"), **missing(source)
    )
    os.rename(source, f"{source}.away")
    assert bench.state(identity)["Running"]
    Path(f"{source}.away", "end").touch()
    os.kill(bench.state(identity)["Pid"], 9)
    wait_until(bench, lambda: "bind source path does not exist" in bench.state(identity)["Error"], "a start that fails")
    wait_until(bench, lambda: restarts(bench, identity) >= 3, "further ones")
    assert status(bench, identity) == "restarting"
    Path(f"{source}.away", "end").unlink()
    os.rename(f"{source}.away", source)
    wait_until(bench, lambda: status(bench, identity) == "running", "one that does not fail")
    assert bench.state(identity)["Error"] == ""


def test_what_comes_with_an_engine_and_fails_is_tried_again(bench: Bench, tmp_path: Path) -> None:
    source = str(tmp_path / "disk")
    identity = bench.start(*SLEEP, **policy("always"), **missing(source))
    bench.run(bench.engine.containers.stop(identity, timeout=0))
    os.rmdir(source)
    let_engine_pass(bench)
    wait_until(bench, lambda: restarts(bench, identity) >= 2, "starts that fail")
    let_engine_pass(bench)  # the next one goes on
    assert status(bench, identity) == "restarting"
    os.mkdir(source)
    wait_until(bench, lambda: status(bench, identity) == "running", "one that does not fail")


def test_tries_are_counted_and_can_be_ended(bench: Bench, tmp_path: Path) -> None:
    source = str(tmp_path / "disk")
    counted = bench.start(*SLEEP, **policy("on-failure", 2), **missing(source))
    stopped = bench.start(*SLEEP, **policy("always"), Mounts=missing(f"{source}2")["Mounts"])
    for path in (source, f"{source}2"):
        os.rmdir(path)
    for identity in (counted, stopped):
        os.kill(bench.state(identity)["Pid"], 9)
    wait_until(bench, lambda: status(bench, counted) == "exited", "the last try")
    assert restarts(bench, counted) == 2
    assert "bind source path does not exist" in bench.state(counted)["Error"]
    wait_until(bench, lambda: restarts(bench, stopped) >= 2, "starts that fail")
    bench.run(bench.engine.containers.stop(stopped))
    assert status(bench, stopped) == "exited"
    with pytest.raises(WardianError):
        bench.run(bench.engine.containers.start(stopped))
    assert status(bench, stopped) == "exited"


def test_an_engine_that_lacks_descriptors_tries_again(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "exit 1", **policy("always"))
    wait_until(bench, lambda: restarts(bench, identity) >= 4 and status(bench, identity) == "restarting", "it waits")
    before, limits = restarts(bench, identity), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        wait_until(bench, lambda: restarts(bench, identity) > before, "a start that fails is counted")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    before = restarts(bench, identity)
    wait_until(bench, lambda: restarts(bench, identity) > before, "one that does not fail")
    bench.run(bench.engine.containers.remove(identity, force=True))


@pytest.mark.parametrize("operation", ["restart", "remove"])
def test_a_clock_that_failed_stops_no_operation(
    bench: Bench, operation: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(container: Container) -> bool:
        raise RuntimeError("broken")

    monkeypatch.setattr(bench.engine._lifecycle._restarts, "_is_free", broken)
    identity = bench.start("sh", "-c", "[ -e /stay ] && exec sleep 1000; touch /stay; exit 1", **policy("always"))
    wait_until(bench, lambda: "a start by a restart policy failed" in caplog.text, "its clock has failed")
    assert status(bench, identity) == "restarting"
    if operation == "restart":
        bench.run(bench.engine.containers.restart(identity))
        assert status(bench, identity) == "running"
    bench.run(bench.engine.containers.remove(identity, force=True))
