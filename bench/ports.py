"""What published ports cost: starts and connections, with one port and with a thousand, ours beside the newest Docker.

usage: ports.py [--alone] [-n N] [--gap SECONDS] [--many PORTS] [--json FILE]

`start, …` is the API's start of a created container; `connect` a TCP connection from a neighbour on the host's link.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable

from rig import Row, interleaved, machine, milliseconds
from streets import Side, streets

from street import HOST4, Service
from wardian.kernel import netns

_PER_CONTAINER = 100


def start_with(side: Side, network: str, port: bool) -> float:
    container = side.create(network, {"80/tcp": "8090"} if port else None)
    took = milliseconds(side.engine.start, container)
    side.engine.remove(container)
    return took


def connect(where: int, address: str, count: int) -> float:
    """The median milliseconds of a connection that is accepted and answered, and closed."""

    def once() -> None:
        with socket.create_connection((address, 8080), 5) as connection:
            connection.recv(100)

    return netns.run_inside(where, lambda: statistics.median(milliseconds(once) for _ in range(count)))


def publish_many(side: Side, count: int) -> list[str]:
    """Containers that publish `count` ports between them."""
    made = []
    for first in range(0, count, _PER_CONTAINER):
        size = min(_PER_CONTAINER, count - first)
        made.append(side.run("bridge", {f"{1000 + number}/tcp": str(20000 + first + number) for number in range(size)}))
    return made


def rows(sides: list[Side], cases: dict[str, Callable[[Side], float]], count: int, gap: float) -> list[Row]:
    """All cases of all sides in one interleaved run: what is compared with one another had the same load of others."""
    actions = [(lambda c=case, s=side: c(s)) for case in cases.values() for side in sides]  # type: ignore[misc]
    together = interleaved("", actions, count, gap)
    found = []
    for number, name in enumerate(cases):
        here = slice(number * len(sides), (number + 1) * len(sides))
        found.append(Row(name, together.medians[here], together.bests[here]))
        print(found[-1].text(36), flush=True)
    return found


def measure(docker: bool, count: int, gap: float, many: int) -> list[Row]:
    with streets(docker) as sides:
        print(f"{machine()}; gap {gap} s; median ms of {count}")
        print(f"{'':36}" + "".join(f"{side.engine.name:>10}" for side in sides))
        found = _starts(sides, count, gap)
        services = []
        for side in sides:
            container = side.run("bridge", {"80/tcp": "8080"})
            inside = side.inside(container)
            services.append(Service(inside))
            os.close(inside)
        try:
            found += _with(sides, "one port", count, gap)
            if many:
                for side in sides:
                    took = milliseconds(publish_many, side, many)
                    print(f"{side.engine.name}: {many} ports published in {took / 1e3:.1f} s", flush=True)
                found += _with(sides, f"{many} ports", count, gap)
        finally:
            for service in services:
                service.close()
    return found


def _starts(sides: list[Side], count: int, gap: float) -> list[Row]:
    cases: dict[str, Callable[[Side], float]] = {
        "start, no network": lambda side: start_with(side, "none", False),
        "start, bridge": lambda side: start_with(side, "bridge", False),
        "start, bridge, a port": lambda side: start_with(side, "bridge", True),
    }
    return rows(sides, cases, count, gap)


def _with(sides: list[Side], said: str, count: int, gap: float) -> list[Row]:
    cases: dict[str, Callable[[Side], float]] = {
        f"start, a port, beside {said}": lambda side: start_with(side, "bridge", True),
        f"connect from outside, {said}": lambda side: connect(side.neighbour, HOST4, 20),
        f"connect to localhost, {said}": lambda side: connect(side.host, "127.0.0.1", 20),
        f"connect to [::1], {said}": lambda side: connect(side.host, "::1", 20),
    }
    return rows(sides, cases, count, gap)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="without a Docker beside")
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--gap", type=float, default=0.0)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    began = time.monotonic()
    found = measure(not given.alone, given.n, given.gap, given.many)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({row.case: {"median": row.medians, "best": row.bests} for row in found}, file, indent=1)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
