"""A container fills the engine's data root, as docker's user sees it: the code of its end, rm, errors that say why."""

import contextlib
import errno
import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import homes
from benches import Bench, load_busybox
from engines import TestEngine
from images_made import busybox_image, docker_archive
from registry import Registry
from wardian.database import Database, Schema
from wardian.errors import SYSTEM, WardianError
from wardian.home import Home


@pytest.fixture
def small(new_home: Callable[[], Home]) -> Iterator[Home]:
    """A home whose data root can be filled."""
    home = new_home()
    os.mkdir(home.data_root)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "small", home.data_root], check=True)
    yield home
    subprocess.run(["umount", home.data_root], check=True)


@contextlib.contextmanager
def full(home: Home) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(home.database)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the next rows may go where old ones were
    path = os.path.join(home.data_root, "filling")
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    try:
        yield
    finally:
        os.unlink(path)


def publish(bench: Bench, *actions: str) -> None:
    async def all_of_them() -> None:
        for action in actions:
            bench.engine.events.publish("container", action, "x", {"text": "y" * 200})

    bench.run(all_of_them())


def write_events(bench: Bench) -> None:
    async def write() -> None:
        bench.engine.events._write()

    bench.run(write())


def docker(engine: TestEngine, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "-H", engine.url, *words], capture_output=True, text=True, timeout=60, check=False)


def test_a_run_that_fills_the_disk(small: Home, registry: Registry) -> None:
    engine = TestEngine(small)
    try:
        reference = registry.push_image("full/disk:1", busybox_image())
        assert docker(engine, "pull", reference).returncode == 0
        ended = docker(engine, "run", "--name", "filler", reference, "sh", "-c", "cat /dev/zero >/big; exit 7")
        assert ended.returncode == 7, ended
        assert "Exited (7)" in docker(engine, "ps", "-a").stdout
        time.sleep(1.2)  # past the first writes of events
        refused = docker(engine, "create", reference, "true")
        assert refused.returncode and "no space left on device" in refused.stderr, refused
        removed = docker(engine, "rm", "filler")
        assert removed.returncode == 0, removed
        end = time.monotonic() + 5
        while (again := docker(engine, "run", "--rm", reference, "echo", "hi")).stdout != "hi\n":
            assert time.monotonic() < end, again
            time.sleep(0.1)
        assert "Exception in callback" not in engine.log_text()
    finally:
        engine.close()


def test_events_outlive_a_full_disk_and_closing_takes_all_steps(small: Home) -> None:
    bench = Bench(small)
    load_busybox(bench)
    with full(small):
        publish(bench, *(f"made{number}" for number in range(100)))
        write_events(bench)
        write_events(bench)
        with pytest.raises((WardianError, OSError)) as caught:
            bench.create("true")
        assert getattr(caught.value, "errno", 0) == errno.ENOSPC
    write_events(bench)
    written = [line for path in sorted(Path(small.events).iterdir()) for line in path.read_bytes().splitlines()]
    actions = [json.loads(line)["Action"] for line in written]
    assert [action for action in actions if action.startswith("made")] == [f"made{n}" for n in range(100)]
    with full(small):
        publish(bench, *["last"] * 100)
        bench.close()
    assert not os.path.exists(f"/sys/class/net/{small.bridge}")
    assert not [mount for mount in homes.cgroup_mounts() if os.path.exists(os.path.join(mount, small.cgroup_base))]


def test_a_step_of_closing_that_fails_holds_no_other_up(new_home: Callable[[], Home]) -> None:
    home = new_home()
    bench = Bench(home)
    bench.engine._database.close()  # every later write to it fails
    publish(bench, "x")
    journal, bench.engine.events._journal = bench.engine.events._journal, None  # no error that a disk makes
    with pytest.raises(AttributeError):
        bench.run(bench.engine.close())
    journal.close()
    bench.loop.close()
    assert not os.path.exists(f"/sys/class/net/{home.bridge}")
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert home.bridge not in tables


def test_the_state_file_of_a_full_disk(small: Home) -> None:
    database = Database(small.database, [Schema("test", ["CREATE TABLE t (x)"])])
    with full(small):
        for _ in range(2):
            with pytest.raises(WardianError) as caught, database.volatile() as db:
                db.execute("INSERT INTO t VALUES (?)", ("x" * 8_000_000,))
            error = caught.value
            assert (error.kind, error.errno, error.message) == (
                SYSTEM,
                errno.ENOSPC,
                f"no space left on device: {small.data_root}",
            )
    with database.volatile() as db:
        db.execute("INSERT INTO t VALUES (1)")
    database.close()


@pytest.fixture
def tiny(new_home: Callable[[], Home]) -> Iterator[Home]:
    """A home whose data root a container fills in no time."""
    home = new_home()
    os.mkdir(home.data_root)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tiny", home.data_root], check=True)
    yield home
    subprocess.run(["umount", home.data_root], check=True)


def said(engine: TestEngine, *words: str) -> str:
    done = docker(engine, *words)
    assert done.returncode == 0, (words, done, engine.log_text())
    return done.stdout


def refused_for_space(engine: TestEngine, *words: str) -> None:
    done = docker(engine, *words)
    assert done.returncode, (words, done)
    assert f"no space left on device: {engine.home.data_root}" in done.stderr, (words, done)


def has_space(engine: TestEngine, *words: str) -> str:
    """What was removed is deleted in the background."""
    end = time.monotonic() + 20
    while (done := docker(engine, *words)).returncode:
        assert time.monotonic() < end and "no space left" in done.stderr, (words, done)
        time.sleep(0.1)
    return done.stdout


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_an_engine_starts_on_a_full_disk(tiny: Home, registry: Registry, how: str) -> None:
    """Filled by a container that goes on trying, for every block that is given up."""
    engine = TestEngine(tiny)
    try:
        reference = registry.push_image("full/start:1", busybox_image())
        said(engine, "pull", reference)
        said(engine, "volume", "create", "kept")
        said(engine, "run", "-d", "--name", "stays", reference, "sh", "-c", "echo here; exec sleep 1000")
        fills = "dd if=/dev/zero of=/big; while :; do dd if=/dev/zero bs=4k count=64 >>/more; usleep 20000; done"
        said(engine, "run", "-d", "--name", "filler", "--log-driver", "none", reference, "sh", "-c", fills)
        end = time.monotonic() + 20
        while os.statvfs(tiny.data_root).f_bfree:
            assert time.monotonic() < end
            time.sleep(0.05)
        getattr(engine, how)()
        engine.start()
        assert sorted(said(engine, "ps", "--format", "{{.Names}}").split()) == ["filler", "stays"]
        assert said(engine, "logs", "stays") == "here\n"
        assert said(engine, "inspect", "-f", "{{.State.Status}}", "stays") == "running\n"
        refused_for_space(engine, "create", "--name", "no", reference)
        refused_for_space(engine, "volume", "create", "no")
        refused_for_space(engine, "network", "create", "no")
        refused_for_space(engine, "tag", reference, "no:1")
        assert "no" not in said(engine, "ps", "-a", "--format", "{{.Names}}").split()
        said(engine, "stop", "-t", "0", "stays")
        said(engine, "rm", "stays")
        said(engine, "volume", "rm", "kept")
        said(engine, "rm", "-f", "filler")
        has_space(engine, "run", "--rm", reference, "true")
        has_space(engine, "volume", "create", "again")
        assert os.stat(os.path.join(tiny.data_root, "reserve")).st_blocks * 512 >= 1 << 20
        said(engine, "rmi", reference)
    finally:
        engine.close()


def test_an_image_is_removed_from_a_full_disk(tiny: Home, registry: Registry) -> None:
    engine = TestEngine(tiny)
    try:
        reference = registry.push_image("full/image:1", busybox_image())
        said(engine, "pull", reference)
        said(engine, "create", "--name", "old", reference)
        with full(tiny):
            engine.kill()
            engine.start()
            assert "Total reclaimed space" in said(engine, "container", "prune", "-f")
            said(engine, "rmi", reference)
            end = time.monotonic() + 20
            while not os.statvfs(tiny.data_root).f_bfree:
                assert time.monotonic() < end
                time.sleep(0.05)
        has_space(engine, "pull", reference)
    finally:
        engine.close()


def test_an_exec_on_a_full_disk_says_so(new_home: Callable[[], Home]) -> None:
    """Its record is in the run directory, which lies on the full disk too with a --run-root below the data root."""
    home = new_home()
    os.mkdir(home.run_root)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "small", home.run_root], check=True)
    try:
        engine = TestEngine(home)
        try:
            archive = docker_archive({"full:1": busybox_image()})
            with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
                list(stream.objects())
            assert docker(engine, "run", "-d", "--name", "c1", "full:1", "sleep", "1000").returncode == 0
            path = os.path.join(home.run_root, "filling")
            with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(1 << 12)):
                    pass
            refused = docker(engine, "exec", "c1", "echo", "hi")
            assert refused.returncode == 126, refused
            assert "no space left on device: " in refused.stdout + refused.stderr, refused
            assert "[Errno 28]" not in engine.log_text()
            os.unlink(path)
            assert docker(engine, "exec", "c1", "echo", "hi").stdout == "hi\n"
        finally:
            engine.close()
    finally:
        subprocess.run(["umount", home.run_root], check=True)
