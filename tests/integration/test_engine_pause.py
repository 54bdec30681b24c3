"""pause and unpause: nothing of the container runs meanwhile, an engine that was gone finds it so, signals wake it."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from benches import Bench, refused
from engines import TestEngine
from images_made import busybox_layer
from wardian.engine.files.commit import Asked
from wardian.engine.life import create, pausing
from wardian.errors import CONFLICT, REFUSED, WardianError
from wardian.kernel import freezer

COUNTING = "i=0; while :; do i=$((i+1)); echo $i > /dev/shm/i; done"


def pause(bench: Bench, identity: str) -> None:
    bench.run(bench.engine.containers.pause(identity))


def unpause(bench: Bench, identity: str) -> None:
    bench.run(bench.engine.containers.unpause(identity))


def cpu_ticks(bench: Bench, identity: str) -> int:
    """utime and stime of the first process, fields 14 and 15 of /proc/PID/stat."""
    with open(f"/proc/{bench.state(identity)['Pid']}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def frozen(bench: Bench, identity: str) -> bool:
    parts = bench.engine._parts
    container = parts.registry.find(identity)
    return freezer.is_frozen(pausing.freezer_of(parts, container))


def status(bench: Bench, identity: str) -> tuple[str, bool, bool]:
    state = bench.state(identity)
    return state["Status"], state["Running"], state["Paused"]


def test_a_paused_container_does_not_run(bench: Bench) -> None:
    identity = bench.start("sh", "-c", COUNTING)
    pause(bench, identity)
    assert status(bench, identity) == ("paused", True, True) and frozen(bench, identity)
    before = cpu_ticks(bench, identity)
    time.sleep(0.1)
    assert cpu_ticks(bench, identity) == before
    unpause(bench, identity)
    assert status(bench, identity) == ("running", True, False) and not frozen(bench, identity)
    wait_for(lambda: cpu_ticks(bench, identity) > before)


def test_what_cannot_be_is_refused_in_docker_s_words(bench: Bench) -> None:
    containers, identity = bench.engine.containers, bench.create("sleep", "1000")
    said = refused(CONFLICT, lambda: pause(bench, identity))
    assert said == f"container {identity} is not running"
    bench.run(containers.start(identity))
    said = refused(REFUSED, lambda: unpause(bench, identity))
    assert said == f"Container {identity} is not paused"
    pause(bench, identity)
    said = refused(CONFLICT, lambda: pause(bench, identity))
    assert said == f"Container {identity} is already paused"
    name = containers.inspect(identity)["Name"].lstrip("/")
    said = refused(CONFLICT, lambda: bench.run(bench.engine.execs.create(name, {"Cmd": ["true"]})))
    assert said == f"Container {name} is paused, unpause the container before exec"
    said = refused(CONFLICT, lambda: bench.run(containers.remove(name)))
    assert said == f'cannot remove container "{name}": container is paused and must be unpaused first'
    said = refused(CONFLICT, lambda: bench.run(containers.start(name)))
    assert said == "cannot start a paused container, try unpause instead"


def test_stop_wakes_it_so_that_it_has_the_signal(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done")
    wait_for(lambda: "ready" in bench.output(identity))
    pause(bench, identity)
    bench.run(bench.engine.containers.stop(identity, timeout=10))
    assert bench.state(identity)["ExitCode"] == 3


@pytest.mark.parametrize("own", ["", "SIGTERM"])
def test_kill_ends_it(bench: Bench, own: str) -> None:
    identity = bench.start("sleep", "1000", fields={"StopSignal": own})
    pause(bench, identity)
    bench.run(bench.engine.containers.kill(identity))
    assert bench.finish(identity) == 137


def test_a_signal_that_is_not_its_end_waits_until_it_wakes(bench: Bench) -> None:
    """Docker's rule: with a stop signal of its own, only that and SIGKILL wake it."""
    script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done"
    identity = bench.start("sh", "-c", script, fields={"StopSignal": "SIGTERM"})
    wait_for(lambda: "ready" in bench.output(identity))
    pause(bench, identity)
    bench.run(bench.engine.containers.kill(identity, "USR1"))
    assert status(bench, identity) == ("paused", True, True)
    unpause(bench, identity)
    assert bench.finish(identity) == 9


def test_forced_removal_and_restart(bench: Bench) -> None:
    identity = bench.start("sleep", "1000")
    pause(bench, identity)
    bench.run(bench.engine.containers.restart(identity, timeout=0))
    assert status(bench, identity) == ("running", True, False)
    pause(bench, identity)
    bench.run(bench.engine.containers.remove(identity, force=True))
    assert not bench.engine.containers.list(all=True)


def test_another_engine_finds_it_paused(bench: Bench) -> None:
    identity = bench.start("sleep", "1000")
    pause(bench, identity)
    bench.restart()
    assert status(bench, identity) == ("paused", True, True)
    unpause(bench, identity)
    assert status(bench, identity) == ("running", True, False)


def test_another_engine_believes_the_kernel(bench: Bench) -> None:
    """The engine ended between the freezer and its row, one way and the other."""
    frozen_one, thawed_one = bench.start("sleep", "1000"), bench.start("sleep", "1000")
    parts = bench.engine._parts
    pause(bench, thawed_one)
    bench.run(pausing.freeze(parts, parts.registry.find(frozen_one)))
    pausing.thaw(parts, parts.registry.find(thawed_one))
    bench.restart()
    assert status(bench, frozen_one)[0] == "paused"
    assert status(bench, thawed_one)[0] == "running"


def test_a_lost_supervisor_takes_a_paused_container_along(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "sleep 1000 & sleep 1000")
    pause(bench, identity)
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/status") as file:
        (parent,) = (int(line.split()[1]) for line in file if line.startswith("PPid:"))
    os.kill(parent, signal.SIGKILL)
    assert bench.finish(identity) == 137
    assert "lost" in bench.state(identity)["Error"]
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))  # somebody else's to reap


def test_its_group_is_gone_after_it(bench: Bench) -> None:
    identity = bench.start("sleep", "1000")
    parts = bench.engine._parts
    container = parts.registry.find(identity)
    directory = pausing.freezer_of(parts, container)
    assert directory.endswith(create.cgroup_of(parts, container.config)) and os.path.isdir(directory)
    pause(bench, identity)
    bench.run(bench.engine.containers.kill(identity))
    wait_for(lambda: not os.path.exists(directory))  # a moment after its end is told: see life/remains.py


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "not within 5 seconds"
        time.sleep(0.02)


BIG = ("sh", "-c", "dd if=/dev/zero of=/big bs=1M seek=100 count=1 && touch /made && exec sleep 1000")
BIGGER = [*BIG[:2], BIG[2].replace("100", "400", 1)]


def big_one(bench: Bench) -> str:
    """A container whose commit takes a while."""
    identity = bench.start(*BIG)
    wait_for(lambda: os.path.exists(f"/proc/{bench.state(identity)['Pid']}/root/made"))
    return identity


def while_it_commits(bench: Bench, identity: str, *steps: Callable[[str], Coroutine[Any, Any, Any]]) -> None:
    """Does `steps` when it stands still; the commit ends after them."""

    async def both() -> None:
        containers = bench.engine.containers
        commit = asyncio.ensure_future(bench.engine.commits.commit(Asked(identity)))
        while containers.inspect(identity)["State"]["Status"] != "paused":
            assert not commit.done(), "too quick for this test"
            await asyncio.sleep(0.001)
        for step in steps:
            await step(identity)
        assert not commit.done(), "too quick for this test"
        made = await commit
        await bench.engine.images.remove(made["Id"])

    bench.run(both())


def test_a_commit_ends_no_pause_of_somebody(bench: Bench) -> None:
    identity, containers = big_one(bench), bench.engine.containers
    while_it_commits(bench, identity)
    assert status(bench, identity) == ("running", True, False)
    while_it_commits(bench, identity, containers.pause)
    assert status(bench, identity) == ("paused", True, True) and frozen(bench, identity)
    said = refused(CONFLICT, lambda: pause(bench, identity))
    assert said == f"Container {identity} is already paused"
    while_it_commits(bench, identity)  # paused before
    assert status(bench, identity) == ("paused", True, True) and frozen(bench, identity)
    unpause(bench, identity)
    while_it_commits(bench, identity, containers.unpause, containers.pause)
    assert status(bench, identity) == ("paused", True, True)
    unpause(bench, identity)
    while_it_commits(bench, identity, containers.unpause)
    assert status(bench, identity) == ("running", True, False)


def test_an_engine_that_ends_amid_a_commit_leaves_none_paused(new_engine: Callable[..., TestEngine]) -> None:
    engine = new_engine()
    words = ["docker", "-H", engine.url, "import", "-", "bb:latest"]
    subprocess.run(words, input=busybox_layer(), stdout=subprocess.DEVNULL, check=True)
    made = engine.client.call("POST", "/containers/create", body={"Image": "bb:latest", "Cmd": BIGGER})
    assert isinstance(made, dict)
    identity = made["Id"]
    engine.client.call("POST", f"/containers/{identity}/start")

    def state() -> dict[str, Any]:
        found = engine.client.call("GET", f"/containers/{identity}/json")
        assert isinstance(found, dict)
        return dict(found["State"])

    wait_for(lambda: os.path.exists(f"/proc/{state()['Pid']}/root/made"))
    words = ["docker", "-H", engine.url, "commit", identity, "never:made"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as commit:
        wait_for(lambda: state()["Status"] == "paused")
        engine.kill()
        assert commit.wait(10)
    engine.start()
    assert state()["Status"] == "running"
    done = subprocess.run(["docker", "-H", engine.url, "exec", identity, "true"], timeout=20, check=False)
    assert done.returncode == 0  # its group does not stand still
    engine.client.call("POST", f"/containers/{identity}/pause")
    engine.kill()
    engine.start()
    assert state()["Status"] == "paused"  # somebody's own outlives it
    engine.client.call("POST", f"/containers/{identity}/unpause")


def test_a_kill_that_comes_while_it_freezes_ends_it(bench: Bench) -> None:
    containers = bench.engine.containers

    async def both(identity: str) -> list[str | BaseException | None]:
        return await asyncio.gather(containers.pause(identity), containers.kill(identity), return_exceptions=True)

    for _ in range(5):
        identity = bench.start("sleep", "1000")
        paused, killed = bench.run(both(identity))
        assert isinstance(paused, WardianError) and paused.kind == CONFLICT
        assert killed == "" and status(bench, identity) == ("exited", False, False)


def test_a_signal_that_comes_while_it_freezes_is_taken(bench: Bench) -> None:
    """Docker's rule of one that is paused: without a stop signal of its own any takes it out of that."""
    containers = bench.engine.containers
    identity = bench.start("sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done")
    wait_for(lambda: "ready" in bench.output(identity))

    async def both() -> list[str | BaseException | None]:
        return await asyncio.gather(
            containers.pause(identity), containers.kill(identity, "USR1"), return_exceptions=True
        )

    paused, _ = bench.run(both())
    assert isinstance(paused, WardianError) and paused.kind == CONFLICT
    assert bench.finish(identity) == 7
