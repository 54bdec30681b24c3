"""`/metrics` in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats): the engine's families,
and how long each operation of the API took.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from wardian.engine import Family, Sample
from wardian.server.messages import Answer, Request

if TYPE_CHECKING:
    from wardian.server.routes import Route

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Times:
    """How long operations took until their answer was there (of a stream: its beginning), by row of the route table."""

    def __init__(self) -> None:
        self._counts: dict[Route, list[int]] = {}
        self._sums: dict[Route, float] = {}
        self._codes: Counter[tuple[str, int]] = Counter()

    def add(self, route: Route, seconds: float, status: int) -> None:
        counts = self._counts.get(route)
        if counts is None:
            counts = self._counts[route] = [0] * (len(BUCKETS) + 1)
            self._sums[route] = 0.0
        counts[bisect_left(BUCKETS, seconds)] += 1
        self._sums[route] += seconds
        self._codes[route.method, status] += 1

    def families(self) -> list[Family]:
        rows = [sample for route in sorted(self._counts) for sample in self._histogram(route)]
        codes = [
            Sample(count, {"method": method, "code": str(code)})
            for (method, code), count in sorted(self._codes.items())
        ]
        return [
            Family("wardian_api_request_seconds", "histogram", "Until an answer was there, by operation.", rows),
            Family("wardian_api_requests_total", "counter", "Requests by what was answered.", codes),
        ]

    def _histogram(self, route: Route) -> list[Sample]:
        labels = {"method": route.method, "operation": route.template}
        rows, below = [], 0
        for bound, count in zip((*map(number, BUCKETS), "+Inf"), self._counts[route], strict=True):
            below += count
            rows.append(Sample(below, {**labels, "le": bound}, "_bucket"))
        return [*rows, Sample(self._sums[route], labels, "_sum"), Sample(below, labels, "_count")]


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def render(families: Iterable[Family]) -> str:
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        lines += [
            f"{family.name}{sample.suffix}{_labels(sample.labels)} {number(sample.value)}" for sample in family.samples
        ]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


async def show(request: Request) -> Answer:
    return Answer(200, text_of(request.engine.system.metrics(), request.times), CONTENT_TYPE)


def text_of(engine: Iterable[Family], times: Times) -> bytes:
    return render([*engine, *times.families()]).encode()
