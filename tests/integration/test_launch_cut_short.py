"""A launch that does not come to its end: a step that hangs, a launcher that is killed, an engine that goes away, a
supervisor without descriptors. Nothing may run that nobody waits for.

The child is held in a step by a fifo: open(2) for writing waits for a reader (fifo(7)).
"""

import asyncio
import errno
import os
import resource
import secrets
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from launched import FLAGS, children, own_groups, parent_of, plan, run, with_argument
from wardian.kernel import procfs
from wardian.runtime import ops
from wardian.runtime.exitrecord import read_exit
from wardian.runtime.launch import LaunchError, launch
from wardian.runtime.plan import Plan


@pytest.fixture
def run_dir(tmp_path: Any) -> str:
    return str(tmp_path)


@pytest.fixture
def group() -> Iterator[tuple[str, ...]]:
    with own_groups() as groups:
        yield groups


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


def held(run_dir: str, command: str, **options: Any) -> tuple[Plan, str]:
    """A plan whose child waits in its first step until the fifo is read."""
    fifo = f"{run_dir}/fifo"
    os.mkfifo(fifo)
    return plan(run_dir, command, child=(ops.Write(fifo, b"x"),), **options), fifo


def launchers() -> list[int]:
    return [int(pid) for pid in children() if "wardian-launcher" in procfs.read(f"/proc/{pid}/cmdline")]


async def held_child() -> tuple[int, int]:
    """(launcher, its child), once the child is in its step."""

    def child() -> list[int]:
        pids = [int(pid) for of in launchers() for pid in procfs.read(f"/proc/{of}/task/{of}/children").split()]
        return [pid for pid in pids if procfs.read(f"/proc/{pid}/wchan") == "wait_for_partner"]

    await until(child)
    return parent_of(child()[0]), child()[0]


def release(fifo: str) -> None:
    with open(fifo) as file:
        assert file.read() == "x"


def gone(pid: int) -> bool:
    return procfs.status(pid).get("State", "Z")[0] == "Z"


def test_a_step_that_hangs_ends_with_the_deadline(run_dir: str) -> None:
    async def test() -> None:
        made, _ = held(run_dir, "true")
        launching = asyncio.create_task(launch(made, {}, (), run_dir, deadline=0.5))
        launcher, child = await held_child()
        with pytest.raises(LaunchError, match="not done within"):
            await launching
        await until(lambda: gone(launcher) and gone(child))
        assert not os.path.exists(f"{run_dir}/supervisor.sock")

    run(test())


def test_why_it_failed_is_told_also_without_a_descriptor_to_wait_by(
    run_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def test() -> None:
        with pytest.raises(LaunchError, match="/nowhere/at/all"):
            await launch(plan(run_dir, "true", child=(ops.Write("/nowhere/at/all", b"x"),)), {}, (), run_dir)

    monkeypatch.setattr(os, "pidfd_open", none_left)
    run(test())


def test_a_launcher_is_waited_for_also_when_there_was_no_descriptor_at_first(
    run_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, refused = os.pidfd_open, []

    def none_left_at_first(pid: int) -> int:
        if refused:
            return opened(pid)
        refused.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def test() -> None:
        launched = await launch(plan(run_dir, "exec sleep 1000"), {}, (), run_dir)
        launcher = parent_of(launched.pid)
        await until(lambda: refused == [launcher])
        os.kill(launched.pid, signal.SIGKILL)
        await until(lambda: not os.path.exists(f"/proc/{launcher}"))
        launched.supervisor.close()

    monkeypatch.setattr(os, "pidfd_open", none_left_at_first)
    run(test())


def test_without_its_launcher_a_child_does_not_exec(run_dir: str) -> None:
    async def test() -> None:
        made, fifo = held(run_dir, f"echo ran > {run_dir}/ran; exec sleep 1000")
        launching = asyncio.create_task(launch(made, {}, (), run_dir))
        launcher, child = await held_child()
        os.kill(launcher, signal.SIGKILL)
        await until(lambda: gone(launcher))
        release(fifo)
        with pytest.raises(LaunchError, match="ended without a word"):
            await launching
        await until(lambda: gone(child))
        assert not os.path.exists(f"{run_dir}/ran")

    run(test())


def test_a_launch_that_nobody_hears_of_is_undone_with_all_that_it_began(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        marker = f"4444{secrets.randbelow(10**6)}"
        command = f"setsid sleep {marker} & exec sleep {marker}"
        made, fifo = held(run_dir, command, flags=FLAGS["SHARED_PID"], groups=group)
        launching = asyncio.create_task(launch(made, {}, (), run_dir))
        launcher, _ = await held_child()
        os.kill(launcher, signal.SIGSTOP)
        release(fifo)
        await until(lambda: len(with_argument(f"sleep\0{marker}\0")) == 2)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching
        os.kill(launcher, signal.SIGCONT)
        await until(lambda: gone(launcher))
        assert not with_argument(marker)
        assert not any(os.path.exists(each) for each in group)

    run(test())


def test_a_supervisor_that_cannot_start_takes_all_that_began(run_dir: str, group: tuple[str, ...]) -> None:
    """No descriptor is left for its epoll(7): all up to the listener's, the one after the log's, are in use."""

    async def test() -> None:
        marker = f"4545{secrets.randbelow(10**6)}"
        enter = "; ".join(f"echo 0 > {each}/tasks" for each in group)
        command = f"{enter}; setsid sleep {marker} & {enter}; exec sleep {marker}"
        made, fifo = held(run_dir, command, flags=FLAGS["SHARED_PID"] | FLAGS["TTY"], groups=group, enter=False)
        launching = asyncio.create_task(launch(made, {}, (), run_dir))
        launcher, _ = await held_child()
        os.kill(launcher, signal.SIGSTOP)
        release(fifo)
        await until(lambda: len(with_argument(f"sleep\0{marker}\0")) == 2)
        log = f"{run_dir}/c-json.log"
        most = next(
            int(fd) for fd in os.listdir(f"/proc/{launcher}/fd") if os.readlink(f"/proc/{launcher}/fd/{fd}") == log
        )
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, (most + 2, most + 2))
        os.kill(launcher, signal.SIGCONT)
        running = await launching
        record = await running.supervisor.wait_exit()
        running.supervisor.close()
        assert (record.exit_code, record.reason) == (137, "the supervisor could not start")
        assert read_exit(run_dir) == record
        await until(lambda: gone(launcher))
        assert not with_argument(marker)
        assert not any(os.path.exists(each) for each in group)

    run(test())
