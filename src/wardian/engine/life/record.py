"""What a start leaves for `explain`: plan.json (what was to be done) and explain.json (what was, and how long it took).

Written a moment after the start, off its way (it takes longer than some containers live, and what is gone by then
needs none), once no other starts: soon where one does alone, later where many do. Until then `explain` finds it in
memory, and an engine that is told to end writes it first.
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from wardian.engine.life.create import write_file
from wardian.engine.registry import Container
from wardian.network import Done
from wardian.runtime import Plan, Record

log = logging.getLogger(__name__)

_QUIET = 0.05  # seconds without another start
_LATEST = 0.25  # after its own


class Phases:
    """The engine's own part of a start, by name, in nanoseconds."""

    def __init__(self) -> None:
        self._last = time.perf_counter_ns()
        self.list: list[tuple[str, int]] = []

    def mark(self, name: str) -> None:
        now = time.perf_counter_ns()
        self.list.append((name, now - self._last))
        self._last = now


class LaunchRecord(NamedTuple):
    plan: Plan | None
    records: Sequence[Record]
    phases: Phases
    failed_step: int = -1
    error: str = ""
    network: Sequence[Done] = ()

    def documents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The contents of plan.json and explain.json."""
        plan = self.plan.to_json() if self.plan is not None else {}
        explain = {
            "version": 1,
            "phases": [{"name": name, "ns": ns} for name, ns in self.phases.list],
            "records": [
                {"step": item.step, "errno": item.errno, "ns": item.ns, "text": item.text} for item in self.records
            ],
            "network": [
                {"kind": done.kind, "description": done.description, "ns": done.nanoseconds} for done in self.network
            ],
            "failed_step": self.failed_step,
            "error": self.error,
        }
        return plan, explain

    def write(self, directory: str) -> None:
        """A container that was removed meanwhile needs none."""
        for name, document in zip(("plan.json", "explain.json"), self.documents(), strict=True):
            try:
                write_file(os.path.join(directory, name), msgspec.json.encode(document))
            except FileNotFoundError:
                return

    def write_or_log(self, directory: str) -> None:
        """Of a start that failed, or of an engine that ends: a disk that is full hides neither."""
        try:
            self.write(directory)
        except OSError as error:
            log.error("%s: the record of the start was not written: %s", directory, error)


class Recorder:
    """Writes the records of starts, each a moment after it was made."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Container, asyncio.TimerHandle]] = {}
        self._kept_at = 0.0  # the newest, in the loop's time

    def keep(self, container: Container, record: LaunchRecord) -> None:
        self._cancel(container.id)
        container.launch_record = record
        self._kept_at = asyncio.get_running_loop().time()
        self._wait(container, self._kept_at, _QUIET)

    def _wait(self, container: Container, kept_at: float, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._write_when_quiet, container, kept_at)
        self._waiting[container.id] = (container, timer)

    def _write_when_quiet(self, container: Container, kept_at: float) -> None:
        now = asyncio.get_running_loop().time()
        quiet_at = min(self._kept_at + _QUIET, kept_at + _LATEST)
        if now < quiet_at:
            self._wait(container, kept_at, quiet_at - now)
        else:
            self._write_in_thread(container)

    def forget(self, container: Container) -> None:
        """It is being removed."""
        self._cancel(container.id)
        container.launch_record = None

    def close(self) -> None:
        """What still waits is written now."""
        for container, timer in list(self._waiting.values()):
            timer.cancel()
            container.launch_record.write_or_log(container.config.directory)
        self._waiting.clear()

    def _cancel(self, identity: str) -> None:
        waiting = self._waiting.pop(identity, None)
        if waiting is not None:
            waiting[1].cancel()

    def _write_in_thread(self, container: Container) -> None:
        del self._waiting[container.id]
        record = container.launch_record
        written = asyncio.get_running_loop().run_in_executor(None, record.write, container.config.directory)
        written.add_done_callback(lambda future: _written(container, record, future))


def _written(container: Container, record: LaunchRecord, future: "asyncio.Future[None]") -> None:
    """Now the disk has it; when it has not (a full disk, say), memory keeps it."""
    if future.exception() is None and container.launch_record is record:
        container.launch_record = None
