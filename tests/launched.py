"""Plans of a few steps for the real launcher: a process of the host under a supervisor, in groups of its own."""

import asyncio
import os
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import homes
import needs
from wardian.kernel import procfs
from wardian.runtime import ops, protocol
from wardian.runtime.plan import Plan

HOST, CHILD = protocol.HOST, protocol.CHILD
FLAGS = protocol.SUPERVISE_FLAGS
STDIN = FLAGS["OPEN_STDIN"] | FLAGS["STDIN_ONCE"]
PATH = "PATH=/usr/bin:/bin"


def plan(
    run_dir: str,
    command: str,
    flags: int = STDIN,
    groups: tuple[str, ...] = (),
    log: bool = True,
    child: tuple[Any, ...] = (),
    enter: bool = True,
) -> Plan:
    """A process of the host with a supervisor, in groups of its own; `child` are further operations of the child's,
    which enters its groups unless told not to."""
    steps = [ops.Step(ops.Open("run", run_dir, os.O_PATH | os.O_CLOEXEC), HOST)]
    for i, group in enumerate(groups):
        steps.append(ops.Step(ops.CgroupMake(f"g{i}", group, 0), HOST))
        steps += [ops.Step(ops.CgroupTasks(f"t{i}", f"g{i}", "tasks"), HOST)] if enter else []
    names = tuple(f"g{i}" for i in range(len(groups)))
    where = ("run", "run" if log else "", 0, 1, names, "", "c" * 64, "c-json.log")
    steps += [ops.Step(ops.Supervise(flags, *where), HOST), ops.Step(ops.Clone(0), HOST)]
    steps += [ops.Step(ops.CgroupEnter(f"t{i}"), CHILD) for i in range(len(groups)) if enter]
    stdio: Any = ops.Console("", 33, 77) if flags & FLAGS["TTY"] else ops.Stdio()
    steps += [ops.Step(op, CHILD) for op in (stdio, *child)]
    steps += [ops.Step(ops.Exec("/bin/sh", ("sh", "-c", command), (PATH,)), CHILD)]
    return Plan(tuple(steps))


def run(test: Coroutine[Any, Any, None]) -> None:
    """A test, and after it no launcher may be left that its engine did not reap."""

    async def whole() -> None:
        before = children()
        await asyncio.wait_for(test, 60)
        async with asyncio.timeout(5):
            while children() - before:
                await asyncio.sleep(0.01)

    asyncio.run(whole())


def children() -> set[str]:
    """Of this process, the dead among them too (proc(5))."""
    return set(procfs.read(f"/proc/self/task/{os.getpid()}/children").split())


def with_argument(text: str) -> list[str]:
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and text in procfs.read(f"/proc/{pid}/cmdline")]


def parent_of(pid: int) -> int:
    return int(procfs.status(pid)["PPid"])


@contextmanager
def own_groups() -> Iterator[tuple[str, ...]]:
    """The path of a v1 memory group and a freezer group that do not exist yet; gone at the end."""
    base = f"{homes.CGROUP_PARENT}/{homes.RUN}-{secrets.token_hex(2)}"
    groups = tuple(f"/sys/fs/cgroup/{name}/{base}/c" for name in ("memory", "freezer"))
    if not all(os.path.isdir(os.path.dirname(os.path.dirname(os.path.dirname(each)))) for each in groups):
        needs.missing("needs cgroup v1")
    yield groups
    homes.remove_empty_groups(base)
