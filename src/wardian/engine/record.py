"""What a start leaves for `explain`: plan.json (what was to be done) and explain.json (what was, and how long it took).

Written a moment after the start, off its way; until then `explain` finds it in memory.
"""

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from wardian.runtime.launch import Record
from wardian.runtime.plan import Plan


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

    def documents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The contents of plan.json and explain.json."""
        plan = self.plan.to_json() if self.plan is not None else {}
        explain = {
            "version": 1,
            "phases": [{"name": name, "ns": ns} for name, ns in self.phases.list],
            "records": [
                {"step": item.step, "errno": item.errno, "ns": item.ns, "text": item.text} for item in self.records
            ],
            "failed_step": self.failed_step,
            "error": self.error,
        }
        return plan, explain

    def write(self, directory: str) -> None:
        """A container that was removed meanwhile needs none."""
        for name, document in zip(("plan.json", "explain.json"), self.documents(), strict=True):
            try:
                fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:
                return
            with open(fd, "wb") as file:
                file.write(msgspec.json.encode(document))
