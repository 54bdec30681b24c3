"""The second boot of test_reboot.py: what the engine makes of what ran when the host went down."""

import glob
import json
import os
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from vm import lasting
from wardian.errors import WardianError
from wardian.kernel import procfs

BACK = (
    "runs-always", "stopped-always", "runs-unless-stopped", "runs-on-failure", "writes", "healthy", "web", "asks",
    "joined",
)  # fmt: skip
MARKED = ("runs-no", "paused")


@pytest.fixture(scope="module", autouse=True)
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """Its pid, and even its start time, are those that the boot before wrote down for `runs-no` and `runs-always`."""
    with subprocess.Popen(["sleep", "100000"]) as process:
        with sqlite3.connect(f"{lasting.DATA}/wardian.db") as database:
            for name in ("runs-no", "runs-always"):
                database.execute(
                    "UPDATE container_state SET record = json_set(record, '$.pid', ?, '$.start_time', ?) "
                    "WHERE id = (SELECT id FROM container WHERE name = ?)",
                    (process.pid, procfs.start_time(process.pid), name),
                )
        database.close()
        lasting.start_engine()
        yield process
        process.kill()


@pytest.fixture(scope="module")
def notes() -> dict[str, Any]:
    return lasting.notes()


def test_restart_policies_are_applied(notes: dict[str, Any]) -> None:
    lasting.wait_until(lambda: all(lasting.state(name)["Status"] == "running" for name in BACK), "all are back")
    for name in BACK:
        state = lasting.state(name)
        assert state["Running"] and not state["Error"] and os.path.exists(f"/proc/{state['Pid']}"), name
        assert lasting.inspect(name)["RestartCount"] == 0, name


def test_what_ran_is_marked(notes: dict[str, Any]) -> None:
    for name in MARKED:
        state = lasting.state(name)
        assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 255, 0), name
        assert not state["Paused"] and "the host went down" in state["Error"], name
        assert state["FinishedAt"] > state["StartedAt"]


def test_what_had_ended_is_as_it_was(notes: dict[str, Any]) -> None:
    for name, before in notes["ended"].items():
        assert lasting.state(name) == before, name


def test_rm_took_its_own() -> None:
    with pytest.raises(WardianError, match="No such container"):
        lasting.state("removes-itself")


def test_a_backoff_goes_on(notes: dict[str, Any]) -> None:
    lasting.wait_until(
        lambda: lasting.inspect("fails-always")["RestartCount"] > notes["restarts"], "it is started again"
    )
    assert lasting.state("fails-always")["ExitCode"] == 7


def test_no_pid_of_the_boot_before_is_believed(stranger: "subprocess.Popen[bytes]") -> None:
    assert stranger.poll() is None
    assert lasting.state("runs-always")["Pid"] != stranger.pid


def test_what_a_marked_one_was_can_be_started() -> None:
    lasting.client().call("POST", "/containers/paused/start")
    assert lasting.state("paused")["Running"]


def test_ports_addresses_and_names_are_back() -> None:
    def served() -> str:
        with urllib.request.urlopen("http://127.0.0.1:8080/", timeout=10) as response:
            return str(response.read().decode())

    assert served() == "served\n"
    web = lasting.inspect("web")["NetworkSettings"]
    assert web["Networks"]["front"]["IPAddress"] == "10.77.0.80"
    assert lasting.executed("asks", "wget", "-q", "-O-", "http://web/") == "served\n"
    assert lasting.executed("joined", "wget", "-q", "-O-", "http://127.0.0.1/") == "served\n"


def test_health_is_looked_at_again() -> None:
    started = lasting.state("healthy")["StartedAt"]

    def fresh() -> bool:
        health = lasting.state("healthy")["Health"]
        return bool(health["Status"] == "healthy" and health["Log"] and health["Log"][-1]["Start"] > started)

    lasting.wait_until(fresh, "healthy again")


def test_volumes_are_there() -> None:
    assert lasting.executed("writes", "cat", "/kept/starts") == "started\nstarted\n"


def test_events_go_on(notes: dict[str, Any]) -> None:
    found = lasting.events_after(notes["last_event"])
    identities = [event["Wardian"]["ID"] for event in found]
    assert identities == sorted(set(identities)) and identities[0] > notes["last_event"]
    told = [(event["Action"], event["Actor"]["Attributes"].get("name")) for event in found]
    assert told.index(("die", "runs-always")) < told.index(("start", "runs-always"))
    died = [event for event in found if event["Action"] == "die" and event["Actor"]["Attributes"]["name"] in MARKED]
    assert [event["Actor"]["Attributes"]["exitCode"] for event in died] == ["255", "255"], told
    assert ("destroy", "removes-itself") in told


def test_nothing_of_the_boot_before_is_left(notes: dict[str, Any]) -> None:
    groups = {os.path.basename(path) for path in glob.glob("/sys/fs/cgroup/wardian/containers/*/")}
    assert notes["removed"] not in os.listdir(f"{lasting.DATA}/containers")
    listed: Any = lasting.client().call("GET", "/containers/json")
    live = {one["Id"] for one in listed if lasting.state(one["Id"])["Pid"]}
    assert {name for name in groups if len(name) == 64} <= live | {lasting.inspect("fails-always")["Id"]}, json.dumps(
        sorted(groups)
    )
