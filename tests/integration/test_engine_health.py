"""Health checks on a real engine: what a probe is, what it may not hold up, and what the next engine knows."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from benches import Bench

SECOND = 1_000_000_000
QUICK = SECOND // 10
# healthy while /dev/shm/ok is there
ASKED = {"Test": ["CMD-SHELL", "echo said; test -e /dev/shm/ok"], "Interval": QUICK, "Retries": 2}


def checked(bench: Bench, test: list[str], *command: str, own: dict[str, str] | None = None, **more: Any) -> str:
    fields = {"Healthcheck": {"Test": test, "Interval": QUICK, **more}, "Wardian": own or {}}
    return bench.start(*(command or ("sleep", "1000")), fields=fields)


def health(bench: Bench, identity: str) -> dict[str, Any]:
    return dict(bench.state(identity)["Health"])


def wait_for(bench: Bench, condition: Callable[[], object], seconds: float = 10.0) -> None:
    """While the engine lives on."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        bench.run(asyncio.sleep(0.01))


def becomes(bench: Bench, identity: str, status: str) -> dict[str, Any]:
    wait_for(bench, lambda: health(bench, identity)["Status"] == status)
    return health(bench, identity)


def run_inside(bench: Bench, identity: str, *command: str) -> None:
    async def go() -> None:
        execs = bench.engine.execs
        made = await execs.create(identity, {"Cmd": list(command)})
        await execs.start(made["Id"], {}).run_detached()

    bench.run(go())


def processes(word: str) -> list[int]:
    """Those that have `word` in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if word.encode() in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue
    return found


def test_from_starting_to_unhealthy_to_healthy(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", fields={"Healthcheck": ASKED})
    assert health(bench, identity) == {"Status": "starting", "FailingStreak": 0, "Log": []}
    found = becomes(bench, identity, "unhealthy")
    assert found["FailingStreak"] == 2 and [one["Output"] for one in found["Log"]] == ["said\n"] * 2
    run_inside(bench, identity, "touch", "/dev/shm/ok")
    found = becomes(bench, identity, "healthy")
    assert found["FailingStreak"] == 0 and found["Log"][-1]["ExitCode"] == 0
    (line,) = bench.engine.containers.list(filters={"health": ["healthy"]})
    assert line["Id"] == identity and line["Status"].endswith(" (healthy)")
    wait_for(bench, lambda: len(health(bench, identity)["Log"]) == 5)


def test_one_that_was_not_started_has_no_health(bench: Bench) -> None:
    identity = bench.create("sleep", "1", fields={"Healthcheck": ASKED})
    assert "Health" not in bench.state(identity)
    assert [one["Id"] for one in bench.engine.containers.list(all=True, filters={"health": ["none"]})] == [identity]


def test_a_probe_runs_as_the_container_does(bench: Bench) -> None:
    test = ["CMD-SHELL", "id -u; pwd; echo $A; echo err >&2"]
    fields = {"Healthcheck": {"Test": test, "Interval": QUICK}, "User": "7", "WorkingDir": "/tmp", "Env": ["A=b"]}
    identity = bench.start("sleep", "1000", fields=fields)
    said = becomes(bench, identity, "healthy")["Log"][0]["Output"]  # two pipes: their order is open
    assert sorted(said.splitlines()) == ["/tmp", "7", "b", "err"]


def test_what_takes_too_long_is_killed(bench: Bench) -> None:
    identity = checked(bench, ["CMD-SHELL", "echo before; sleep 98765; true"], Timeout=3 * QUICK, Retries=1)
    found = becomes(bench, identity, "unhealthy")["Log"][0]
    assert (found["ExitCode"], found["Output"]) == (-1, "Health check exceeded timeout (300ms): before\n")
    before = processes("echo before; sleep 98765; true")
    wait_for(bench, lambda: len(health(bench, identity)["Log"]) > 2)
    assert not set(before) & set(processes("echo before; sleep 98765; true"))


def test_a_flood_is_cut_and_held_by_nobody(bench: Bench) -> None:
    identity = checked(bench, ["CMD-SHELL", "yes | head -c 3000000"])
    said = becomes(bench, identity, "healthy")["Log"][0]["Output"]
    assert len(said) == 4099 and said.endswith("y\n...")


def test_a_command_that_is_not_there_is_a_failed_check(bench: Bench) -> None:
    identity = checked(bench, ["CMD", "nope"], Retries=1)
    found = becomes(bench, identity, "unhealthy")["Log"][0]
    assert found["ExitCode"] == -1
    assert 'unable to start container process: exec: "nope": executable file not found' in found["Output"]


def test_what_is_paused_is_not_probed(bench: Bench) -> None:
    identity = checked(bench, ["CMD", "true"])
    becomes(bench, identity, "healthy")
    bench.run(bench.engine.containers.pause(identity))
    found = health(bench, identity)
    assert found["Status"] == "unhealthy"
    wait_for(bench, lambda: not bench.engine.containers.inspect(identity)["ExecIDs"])
    bench.run(asyncio.sleep(0.3))
    assert health(bench, identity)["Log"] == found["Log"]
    assert not bench.engine.containers.inspect(identity)["ExecIDs"]
    bench.run(bench.engine.containers.unpause(identity))
    becomes(bench, identity, "healthy")


def test_a_hung_probe_goes_with_the_pause_and_the_end(bench: Bench) -> None:
    identity = checked(bench, ["CMD", "sleep", "98764"])
    wait_for(bench, lambda: processes("98764"))
    bench.run(bench.engine.containers.pause(identity))
    bench.run(bench.engine.containers.unpause(identity))
    wait_for(bench, lambda: not processes("98764") or len(processes("98764")) == 1)
    wait_for(bench, lambda: processes("98764"))
    bench.run(bench.engine.containers.kill(identity))
    wait_for(bench, lambda: not processes("98764"))
    assert bench.state(identity)["Health"]["Status"] == "unhealthy"


def test_the_next_engine_goes_on(bench: Bench) -> None:
    identity = checked(bench, ["CMD", "true"], Interval=SECOND // 2)
    hung = checked(bench, ["CMD", "sleep", "98763"], Timeout=60 * SECOND)
    ended = checked(bench, ["CMD", "true"])
    before = becomes(bench, identity, "healthy")
    becomes(bench, ended, "healthy")
    bench.run(bench.engine.containers.kill(ended))
    wait_for(bench, lambda: processes("98763"))
    bench.restart()
    after = health(bench, identity)
    assert (after["Status"], after["Log"][0]) == ("healthy", before["Log"][0])
    assert health(bench, ended)["Status"] == "unhealthy" and health(bench, ended)["Log"]
    wait_for(bench, lambda: len(health(bench, identity)["Log"]) >= 3)
    assert health(bench, identity)["Status"] == "healthy"
    wait_for(bench, lambda: len(processes("98763")) == 1)  # the old engine's is gone
    assert health(bench, hung)["Status"] == "starting"


def test_each_start_begins_anew(bench: Bench) -> None:
    identity = checked(bench, ["CMD", "true"], Interval=SECOND // 2)
    found = becomes(bench, identity, "healthy")
    bench.run(bench.engine.containers.restart(identity, timeout=0))
    again = health(bench, identity)
    assert (again["Status"], again["FailingStreak"], again["Log"]) == ("starting", 0, found["Log"])
    becomes(bench, identity, "healthy")


@pytest.mark.parametrize("action", ["kill", "stop", "restart"])
def test_what_is_done_to_the_unhealthy(bench: Bench, action: str) -> None:
    trap = ("sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done")
    identity = checked(bench, ["CMD", "false"], *trap, own={"HealthOnFailure": action}, Retries=1, Interval=4 * QUICK)
    first = bench.state(identity)["StartedAt"]
    assert bench.engine.containers.inspect(identity)["Wardian"] == {"HealthOnFailure": action}
    if action == "restart":
        wait_for(bench, lambda: bench.state(identity)["StartedAt"] not in (first, "0001-01-01T00:00:00Z"))
        wait_for(bench, lambda: bench.state(identity)["Running"])
        bench.run(bench.engine.containers.kill(identity))
    else:
        wait_for(bench, lambda: not bench.state(identity)["Running"])
        assert bench.state(identity)["ExitCode"] == {"kill": 137, "stop": 5}[action]


def test_events(bench: Bench) -> None:
    since = time.time_ns()
    identity = checked(bench, ["CMD", "true"], Interval=SECOND // 2)
    becomes(bench, identity, "healthy")

    async def told() -> list[dict[str, Any]]:
        stream = bench.engine.events.subscribe(since, time.time_ns(), {"container": [identity]})
        return [event async for event in stream]

    found = bench.run(told())
    assert [one["Action"] for one in found] == [
        "create", "start", "exec_create: true ", "exec_start: true ", "exec_die", "health_status: healthy",
    ]  # fmt: skip
    assert found[4]["Actor"]["Attributes"]["exitCode"] == "0"


def test_nothing_of_probes_is_left(bench: Bench) -> None:
    identity = checked(bench, ["CMD", "true"], Interval=SECOND // 50)
    wait_for(bench, lambda: len(health(bench, identity)["Log"]) == 5)
    bench.run(bench.engine.containers.kill(identity))
    wait_for(bench, lambda: not bench.engine.execs._execs)
    assert not os.listdir(os.path.join(bench.home.run_root, "execs"))
