"""A supervisor that is lost, and a container that does not end with it."""

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import homes
from benches import Bench, refused
from launched import own_groups
from wardian.errors import NOT_MODIFIED
from wardian.kernel import procfs
from wardian.runtime.lost import end_lost


@contextlib.contextmanager
def frozen_from_above(bench: Bench) -> Iterator[None]:
    """What is frozen by a group above its own does not die of SIGKILL (version 1, freezer-subsystem.rst)."""
    states = [f"{mount}/{bench.home.cgroup_base}/containers/freezer.state" for mount in homes.cgroup_mounts()]
    state = next((Path(path) for path in states if os.path.exists(path)), None)
    if state is None:
        pytest.skip("needs the freezer of version 1: version 2 lets go of what is killed")
    state.write_text("FROZEN")
    try:
        while state.read_text() != "FROZEN\n":
            time.sleep(0.01)
        yield
    finally:
        state.write_text("THAWED")


def test_what_does_not_die_counts_as_running(bench: Bench) -> None:
    identity = bench.start("sleep", "60")
    pid = bench.state(identity)["Pid"]
    with frozen_from_above(bench):
        os.kill(int(procfs.status(pid)["PPid"]), 9)
        bench.loop.run_until_complete(asyncio.sleep(1.7))  # one try takes a second
        assert os.path.exists(f"/proc/{pid}")
        assert bench.state(identity)["Running"] and bench.state(identity)["Pid"] == pid
        refused(NOT_MODIFIED, lambda: bench.run(bench.engine.containers.start(identity)))
        bench.restart()
        assert bench.state(identity)["Running"] and bench.state(identity)["Pid"] == pid
    assert bench.finish(identity) == 137
    assert procfs.status(pid).get("State", "Z")[0] == "Z"  # its new parent may take its time
    assert bench.state(identity)["Status"] == "exited"


def test_a_group_that_is_busy_for_a_moment_is_removed(tmp_path: Path) -> None:
    with own_groups() as groups:
        busy = f"{groups[0]}/busy"
        os.makedirs(busy)
        subprocess.run(["mount", "-t", "tmpfs", "busy", busy], check=True)
        freeing = threading.Timer(0.3, lambda: subprocess.run(["umount", busy], check=True))
        freeing.start()
        try:
            end_lost(str(tmp_path), groups, 0, 0)
        finally:
            freeing.join()
        assert not any(os.path.exists(group) for group in groups)
