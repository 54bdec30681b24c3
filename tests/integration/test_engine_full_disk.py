"""A disk that is full: what runs is followed, what ends is known, what fails says why."""

import contextlib
import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import homes
import needs
from benches import Bench, load_busybox
from wardian.database import Database, Schema
from wardian.engine.life import create
from wardian.errors import WardianError
from wardian.home import Home
from wardian.kernel import procfs


@pytest.fixture
def small(new_home: Callable[[], Home]) -> Iterator[Bench]:
    """An engine whose data root can be filled."""
    home = new_home()
    os.mkdir(home.data_root)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "small", home.data_root], check=True)
    with contextlib.ExitStack() as closing:
        closing.callback(subprocess.run, ["umount", home.data_root], check=True)
        made = Bench(home)
        closing.callback(made.close)
        load_busybox(made)
        yield made


@pytest.mark.parametrize("room", range(60, 360, 30))
def test_a_state_file_for_which_there_is_no_room_is_begun_anew(tmp_path: Path, room: int) -> None:
    """In KiB: what has the file's name is whole, wherever its making stopped."""
    needs.root()
    schema = Schema("large", [f"CREATE TABLE t{number} (x)" for number in range(30)])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}k", "small", tmp_path], check=True)
    try:
        with contextlib.suppress(WardianError):
            Database(str(tmp_path / "state.db"), [schema]).close()
        subprocess.run(["mount", "-o", "remount,size=8m", tmp_path], check=True)
        again = Database(str(tmp_path / "state.db"), [schema])
        assert [tuple(row) for row in again.read("PRAGMA integrity_check")] == [("ok",)]
        assert len(again.read("SELECT name FROM sqlite_master WHERE name LIKE 't%'")) == 30
        again.close()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)  # one that could not be opened has files open yet


@contextlib.contextmanager
def full_disk(bench: Bench) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(bench.home.database)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the next rows may go where old ones were
    path = os.path.join(bench.home.data_root, "filling")
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    try:
        yield
    finally:
        os.unlink(path)


def kill_and_wait(bench: Bench, identity: str) -> tuple[int, list[str]]:
    """The code that a waiter is told, and what the events say."""

    async def both() -> tuple[int, list[str]]:
        containers = bench.engine.containers
        waiter = containers.wait(identity, "next-exit")
        events = bench.engine.events.subscribe(filters={"container": [identity]})
        await containers.kill(identity)
        seen: list[str] = []
        while "die" not in seen:
            seen.append(str((await anext(events))["Action"]))
        return int((await waiter)["StatusCode"]), seen

    return bench.run(both())


def test_an_end_is_told_and_the_next_start_goes_well(small: Bench) -> None:
    identity = small.start("sleep", "60")
    with full_disk(small):
        assert kill_and_wait(small, identity) == (137, ["kill", "die"])
        assert small.state(identity)["Status"] == "exited"
    small.run(small.engine.containers.start(identity))
    assert small.state(identity)["Running"]
    small.restart()
    assert small.state(identity)["Running"]


def test_what_starts_is_followed(small: Bench) -> None:
    identity = small.start("sh", "-c", "[ -e /again ] && exec sleep 60; touch /again")
    small.finish(identity)
    with full_disk(small):
        small.run(small.engine.containers.start(identity))
        assert small.state(identity)["Running"]
        small.run(small.engine.containers.stop(identity, timeout=0))
        assert (small.state(identity)["Status"], small.state(identity)["ExitCode"]) == ("exited", 137)


def test_what_was_not_stored_is_found_by_the_next_engine(small: Bench) -> None:
    identity = small.start("sh", "-c", "sleep 0.3; exit 7")
    with full_disk(small):
        assert small.finish(identity) == 7
    small.restart()
    assert (small.state(identity)["Status"], small.state(identity)["ExitCode"]) == ("exited", 7)


def test_a_start_that_fails_says_its_step(small: Bench) -> None:
    identity = small.create("true", Sysctls={"net.ipv4.ip_forward": "nonsense"})

    def error_of_start() -> Any:
        with pytest.raises(WardianError) as caught:
            small.run(small.engine.containers.start(identity))
        return caught.value

    first = error_of_start()
    assert "ip_forward" in first.message and first.errno == errno.EINVAL
    with full_disk(small):
        again = error_of_start()
    assert (again.message, again.errno) == (first.message, first.errno)


def test_an_update_that_cannot_be_stored_changes_nothing(small: Bench) -> None:
    identity = small.start("sleep", "60", Memory=64 << 20)
    group = create.cgroup_of(small.engine._parts, small.engine._parts.registry.find(identity).config)
    names = ("memory.limit_in_bytes", "memory.max")
    files = [f"{mount}/{group}/{name}" for mount in homes.cgroup_mounts() for name in names]

    def limits() -> set[int]:
        return {int(procfs.read(file)) for file in files if os.path.exists(file)}

    assert limits() == {64 << 20}
    with full_disk(small), pytest.raises(OSError, match="No space left"):
        small.run(small.engine.containers.update(identity, {"Memory": 96 << 20, "MemorySwap": 96 << 20}))
    assert limits() == {64 << 20}
    assert small.engine.containers.inspect(identity)["HostConfig"]["Memory"] == 64 << 20
