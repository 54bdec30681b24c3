"""What a new engine makes of what an earlier one left: killed at the worst moment, or gone with its host."""

import asyncio
import errno
import json
import os
import resource
import select
import shutil
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benches import Bench
from wardian.engine import Engine
from wardian.engine.execs import ended
from wardian.engine.store import EngineStore
from wardian.errors import WardianError
from wardian.storage import Snapshots


def between_engines(bench: Bench, *changes: Callable[[], object]) -> None:
    """The next engine finds what `changes` did to the disk of this one."""
    bench.run(bench.engine.close())
    for change in changes:
        change()
    bench.engine = Engine(bench.home)
    bench.run(bench.engine.start())


def sql(bench: Bench, statement: str, *parameters: object) -> Callable[[], None]:
    def change() -> None:
        with closing(sqlite3.connect(bench.home.database)) as database, database:
            database.execute(statement, parameters)

    return change


def backup(bench: Bench, path: Path) -> None:
    with closing(sqlite3.connect(bench.home.database)) as rows, closing(sqlite3.connect(path)) as copy:
        rows.backup(copy)


def supervisor_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def kill_both(bench: Bench, identity: str) -> Callable[[], None]:
    """As a power loss: nobody is left to write an exit record."""
    pid = bench.state(identity)["Pid"]

    def change() -> None:
        process = os.pidfd_open(pid)
        os.kill(supervisor_of(pid), 9)
        os.kill(pid, 9)
        assert select.select([process], [], [], 30)[0], "its end: none is left when a host starts"
        os.close(process)

    return change


def test_a_launch_that_was_not_written_down_yet_is_found_running(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "sleep 3; exit 7")
    pid = bench.state(identity)["Pid"]
    between_engines(bench, sql(bench, "DELETE FROM container_state"))
    assert bench.state(identity)["Running"] and bench.state(identity)["Pid"] == pid
    assert bench.finish(identity) == 7


def test_it_is_found_so_by_an_engine_that_may_not_change_its_limits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """prlimit(2) of another user's process takes CAP_SYS_RESOURCE, which is not in the default set of a container."""

    def refused(pid: int, *_: object) -> tuple[int, int]:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    asked = [{"Name": "nofile", "Soft": 512, "Hard": 600}]
    identity = bench.start("sleep", "60", Ulimits=asked, fields={"User": "1000"})
    monkeypatch.setattr(resource, "prlimit", refused)
    between_engines(bench, sql(bench, "DELETE FROM container_state"))
    assert bench.state(identity)["Running"]
    with closing(sqlite3.connect(bench.home.database)) as database:
        rows = database.execute("SELECT record FROM container_state WHERE id = ?", (identity,)).fetchall()
    assert json.loads(rows[0][0])["open_files"] == [512, 600]


def test_a_run_that_was_not_written_down_at_all_has_its_exit_code(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "exit 7")
    bench.finish(identity)
    between_engines(bench, sql(bench, "DELETE FROM container_state"))
    state = bench.state(identity)
    assert (state["Status"], state["ExitCode"]) == ("exited", 7)


def test_what_ran_when_the_host_went_down_is_said_to_be_so(bench: Bench) -> None:
    identity = bench.start("sleep", "60")
    other = sql(
        bench, "UPDATE container_state SET record = replace(record, ?, ?)", boot_id(), "00000000-0000-0000-0000-0000000"
    )
    between_engines(bench, kill_both(bench, identity), other)
    state = bench.state(identity)
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 255, 0)
    assert "host went down" in state["Error"]
    bench.run(bench.engine.containers.start(identity))
    assert bench.state(identity)["Running"]


def test_a_pid_of_before_the_boot_is_nobody_of_ours(bench: Bench) -> None:
    """The pid belongs to somebody else by now (to this very test): nothing happens to it."""
    identity = bench.start("sleep", "60")
    pid = bench.state(identity)["Pid"]
    ours = sql(bench, "UPDATE container_state SET record = json_set(record, '$.pid', ?, '$.boot_id', 'x')", os.getpid())
    between_engines(bench, kill_both(bench, identity), ours)
    assert bench.state(identity)["Status"] == "exited"
    assert pid != os.getpid()


def test_an_exit_record_that_cannot_be_read_stops_no_engine(bench: Bench) -> None:
    identity = bench.start("sleep", "60")
    record = os.path.join(bench.home.run_container(identity), "exit")

    def cut_short() -> None:
        with open(record, "w"):
            pass

    between_engines(bench, kill_both(bench, identity), cut_short)
    state = bench.state(identity)
    assert (state["ExitCode"], state["Error"]) == (137, "exit record unreadable")


def test_what_rm_had_to_take_away_goes_with_the_next_engine(bench: Bench) -> None:
    kept = bench.start("true")
    bench.finish(kept)
    with_rm = sql(
        bench, "UPDATE container SET record = json_set(record, '$.values.\"HostConfig.AutoRemove\"', json('true'))"
    )
    orphan = bench.home.container("a" * 64)
    between_engines(bench, with_rm, lambda: os.makedirs(f"{orphan}/upper"))
    assert bench.engine.containers.list(all=True) == []
    assert not os.path.exists(bench.home.container(kept)) and not os.path.exists(orphan)


def test_a_removal_that_an_engine_s_end_cut_short_is_finished(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, left = bench.start("true"), str(tmp_path / "left.db")
    bench.finish(identity)
    remove = EngineStore.remove

    def copied_first(*arguments: Any) -> None:
        """The rows as SIGKILL would leave them here: the files have gone."""
        backup(bench, tmp_path / "left.db")
        remove(*arguments)

    monkeypatch.setattr(EngineStore, "remove", copied_first)
    bench.run(bench.engine.containers.remove(identity))
    monkeypatch.undo()

    def as_left() -> None:
        shutil.copyfile(left, bench.home.database)

    between_engines(bench, as_left)
    assert [line["Id"] for line in bench.engine.containers.list(all=True)] == []


@pytest.mark.parametrize("asked", [True, False])
def test_who_finishes_a_removal_takes_the_volumes_that_were_to_go(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """`rm -v`: with the rows as SIGKILL leaves them in the middle of it."""
    identity, left = bench.create("true", fields={"Volumes": {"/data": {}}}), tmp_path / "left.db"
    [point] = bench.engine.containers.inspect(identity)["Mounts"]
    whole = Snapshots.remove

    def copied_first(*arguments: Any) -> None:
        backup(bench, left)
        whole(*arguments)
        raise OSError("killed")

    monkeypatch.setattr(Snapshots, "remove", copied_first)
    with pytest.raises(OSError, match="killed"):
        bench.run(bench.engine.containers.remove(identity, volumes=asked))
    monkeypatch.undo()
    assert os.path.exists(point["Source"])
    between_engines(bench, lambda: shutil.copyfile(left, bench.home.database))
    assert bench.engine.containers.list(all=True) == []
    assert os.path.exists(point["Source"]) is not asked
    if not asked:
        bench.run(bench.engine.volumes.remove(point["Name"]))


def test_of_ended_execs_the_newest_are_known(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an engine grows by what somebody starts a thousand times a minute."""
    monkeypatch.setattr(ended, "_MOST", 2)
    container = bench.start("sleep", "60")

    async def one() -> str:
        execs = bench.engine.execs
        identity = (await execs.create(container, {"Cmd": ["true"]}))["Id"]
        await execs.start(identity, {}).run_detached()
        while execs.inspect(identity)["Running"]:
            await asyncio.sleep(0.01)
        while identity in execs._execs:
            await asyncio.sleep(0.01)
        return identity

    first, *rest = [bench.run(one()) for _ in range(3)]
    with pytest.raises(WardianError, match="No such exec instance"):
        bench.engine.execs.inspect(first)
    assert [bench.engine.execs.inspect(identity)["ExitCode"] for identity in rest] == [0, 0]
    kept = {name for name in os.listdir(f"{bench.home.run_root}/execs") if not name.startswith("spare.")}
    assert kept == set(rest)


def test_an_exec_that_has_ended_is_known_and_no_more(bench: Bench) -> None:
    """Its exit code is; it cannot be started again, nor its terminal be resized, also when its container is gone."""
    container, execs = bench.start("sleep", "60"), bench.engine.execs

    async def ended() -> str:
        identity = (await execs.create(container, {"Cmd": ["sh", "-c", "exit 3"]}))["Id"]
        await execs.start(identity, {}).run_detached()
        while identity in execs._execs:
            await asyncio.sleep(0.01)
        return identity

    identity = bench.run(ended())
    for _ in range(2):
        found = execs.inspect(identity)
        assert (found["ExitCode"], found["Running"], found["ContainerID"]) == (3, False, container)
        with pytest.raises(WardianError, match="has already run"):
            execs.start(identity, {})
        with pytest.raises(WardianError, match="is not running"):
            bench.run(execs.resize(identity, 24, 80))
        if bench.engine.containers.list(all=True):
            bench.run(bench.engine.containers.remove(container, force=True))


def test_an_exec_outlives_its_engine(bench: Bench) -> None:
    container = bench.start("sleep", "60")

    async def begin(*command: str) -> str:
        execs = bench.engine.execs
        made = str((await execs.create(container, {"Cmd": list(command), "AttachStdout": True}))["Id"])
        ours, theirs = socket.socketpair()
        with ours:
            await execs.start(made, {}).hand_over(theirs.detach(), b"")
        return made

    ends = bench.run(begin("sh", "-c", "sleep 0.3; exit 5"))
    runs = bench.run(begin("sh", "-c", "sleep 4; exit 6"))
    bench.run(bench.engine.close())
    assert os.listdir(bench.home.run_staging) == [], "what was made ahead goes with its engine"
    bench.loop.run_until_complete(asyncio.sleep(0.6))
    bench.engine = Engine(bench.home)
    bench.run(bench.engine.start())

    def seen(identity: str) -> tuple[Any, Any]:
        found = bench.engine.execs.inspect(identity)
        return found["Running"], found["ExitCode"]

    assert seen(ends) == (False, 5)
    assert seen(runs) == (True, None)
    bench.loop.run_until_complete(asyncio.sleep(3.5))
    assert seen(runs) == (False, 6)


def test_explain_knows_the_start_that_a_closing_engine_had_just_made(bench: Bench) -> None:
    identity = bench.start("sleep", "60")
    between_engines(bench)
    explained = bench.engine.containers.explain(identity)
    assert explained["Steps"] and all(step["Nanoseconds"] is not None for step in explained["Steps"])


def test_a_network_that_is_no_more_takes_no_name_from_the_others(bench: Bench) -> None:
    """The container asks for two, and one of them is gone: on the other it keeps what it is called."""
    for name in ("kept", "lost"):
        bench.run(bench.engine.networks.create({"Name": name}))
    both = {"NetworkingConfig": {"EndpointsConfig": {"kept": {}, "lost": {}}}}
    identity = bench.start("sleep", "60", name="called", NetworkMode="kept", fields=both)

    def names() -> list[str]:
        return list(bench.engine.containers.inspect(identity)["NetworkSettings"]["Networks"]["kept"]["DNSNames"])

    before = names()
    assert "called" in before
    between_engines(bench, sql(bench, "UPDATE network SET name = 'other' WHERE name = 'lost'"))
    assert names() == before
    bench.run(bench.engine.containers.remove(identity, force=True))
    for name in ("kept", "other"):
        bench.run(bench.engine.networks.remove(name))


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def test_a_supervisor_whose_backlog_is_full_is_given_time(bench: Bench) -> None:
    """It cannot be told from one that is stuck at once, and what is taken for lost is killed."""
    identity = bench.start("sleep", "1000")
    pid = bench.state(identity)["Pid"]
    supervisor = supervisor_of(pid)
    callers: list[socket.socket] = []
    goes_on = threading.Timer(1, os.kill, (supervisor, signal.SIGCONT))

    def crowd() -> None:
        os.kill(supervisor, signal.SIGSTOP)
        directory = os.open(bench.home.run_container(identity), os.O_PATH)  # its path may be too long for an address
        with pytest.raises(BlockingIOError):
            while True:
                callers.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                callers[-1].setblocking(False)
                callers[-1].connect(f"/proc/self/fd/{directory}/supervisor.sock")
        os.close(directory)
        goes_on.start()

    between_engines(bench, crowd)
    goes_on.join()
    for caller in callers:
        caller.close()
    assert bench.state(identity)["Running"] and bench.state(identity)["Pid"] == pid


def test_one_with_rm_that_nobody_started_goes_with_its_engine(bench: Bench) -> None:
    """As with Docker, also when a client made it and did not live to start it."""
    going, staying = bench.create("true", AutoRemove=True), bench.create("true")
    between_engines(bench)
    assert [one["Id"] for one in bench.engine.containers.list(all=True)] == [staying]
    assert not os.path.exists(bench.home.container(going))
