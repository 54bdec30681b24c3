"""What containers use: one sample, two a second apart, or one every second.

The files are read in a thread, for all who ask at that moment together: five hundred streams are a handful of jobs a
second, and the event loop only encodes.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from wardian.engine.life import create
from wardian.engine.observe.stats_body import Sample, body
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.kernel import procfs
from wardian.kernel.group_stats import parse_v1, parse_v2
from wardian.kernel.host_stats import parse_processors, parse_traffic
from wardian.kernel.pidfd import same_process
from wardian.runtime import V2, Files, statistics_files

_SECOND = 1.0
_AT_ONCE = 32  # containers in one job of the thread: the first to ask need not wait for the last
Job = tuple[int, int, Files, bool]
Asked = tuple[Container, "list[asyncio.Future[Sample | None]]"]
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Stats:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting: dict[str, Asked] = {}
        self._reading: asyncio.Task[None] | None = None
        self._memory = host_memory()

    async def once(self, ref: str, one_shot: bool = False) -> dict[str, Any]:
        """With one before it, a second ago, unless `one_shot`. All is zero for one that does not run."""
        container = self._parts.registry.find(ref)
        before = await self._sample(container)
        if before is None or one_shot:
            return body(container.id, container.name, before, None)
        await asyncio.sleep(_SECOND)
        return body(container.id, container.name, await self._sample(container), before)

    def stream(self, ref: str) -> AsyncIterator[dict[str, Any]]:
        """Every second, for as long as the container is there. Raises WardianError at once."""
        return self._stream(self._parts.registry.find(ref))

    async def _stream(self, container: Container) -> AsyncIterator[dict[str, Any]]:
        before = None
        due = time.monotonic()
        while self._parts.registry.get(container.id) is container:
            sample = await self._sample(container)
            yield body(container.id, container.name, sample, before)
            before = sample
            due = max(due + _SECOND, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _sample(self, container: Container) -> Sample | None:
        """None for one that does not run."""
        if not container.state.live:
            return None
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sample | None] = loop.create_future()
        self._waiting.setdefault(container.id, (container, []))[1].append(answer)
        if self._reading is None:
            self._reading = loop.create_task(self._read_all())
        return await answer

    async def _read_all(self) -> None:
        """Until nobody waits. One job at a time: who asks meanwhile is in the next."""
        try:
            while self._waiting:
                now = [self._waiting.pop(identity) for identity in list(self._waiting)[:_AT_ONCE]]
                jobs = [self._job(container) for container, _ in now]
                try:
                    samples = await asyncio.to_thread(_read, jobs, self._parts.host.cgroup_layout == V2, self._memory)
                except Exception as error:  # who asked hears of it; the others are read all the same
                    _answer(now, [error] * len(now))
                else:
                    _answer(now, samples)
        finally:
            self._reading = None

    def _job(self, container: Container) -> Job:
        files = statistics_files(self._parts.host, create.cgroup_of(self._parts, container.config))
        own_network = container.config["HostConfig.NetworkMode"] != "host"
        return container.state.pid, container.state.start_time, files, own_network


def _answer(asked: Iterable[Asked], samples: "Sequence[Sample | Exception | None]") -> None:
    for (_, answers), sample in zip(asked, samples, strict=True):
        for answer in answers:
            if answer.done():  # its client left
                continue
            if isinstance(sample, Exception):
                answer.set_exception(sample)
            else:
                answer.set_result(sample)


def _read(jobs: list[Job], v2: bool, memory: int) -> list[Sample | None]:
    return [_read_one(*job, v2, memory) for job in jobs]


def _read_one(pid: int, start_time: int, files: Files, own_network: bool, v2: bool, memory: int) -> Sample | None:
    """/proc/PID/net/dev is of that process's namespace, whoever reads it: nothing is entered."""
    texts = {name: procfs.read(path) for name, path in files}
    traffic = parse_traffic(procfs.read(f"/proc/{pid}/net/dev")) if own_network else None
    if not same_process(pid, start_time):
        return None
    system, cpus = parse_processors(procfs.read("/proc/stat"), _CLOCK_TICKS)
    group = parse_v2(texts) if v2 else parse_v1(texts, _CLOCK_TICKS)
    return Sample(time.time_ns(), group, system, cpus, memory, traffic)


def host_memory() -> int:
    """In bytes."""
    for line in procfs.read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
