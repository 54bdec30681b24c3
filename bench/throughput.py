"""What goes through: iperf3 through a published port and from container to container, ours beside the newest Docker.

usage: throughput.py [--alone] [-n N] [--seconds S] [--json FILE]

The iperf3 of this machine (Debian's) runs in the containers' network namespaces. Gigabits a second, medians.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rig import Row, interleaved, machine
from streets import Side, streets

from street import HOST4
from wardian.kernel import netns


class Place(NamedTuple):
    """Two containers of one network: the server publishes 5201."""

    side: Side
    server: int
    client: int
    address: str


def _place(side: Side) -> Place:
    side.network("bench")
    server, client = side.run("bench", {"5201/tcp": "5201"}), side.run("bench")
    networks = side.engine.call("GET", f"/containers/{server}/json")["NetworkSettings"]["Networks"]
    return Place(side, side.inside(server), side.inside(client), networks["bench"]["IPAddress"])


@contextmanager
def _serving(place: Place) -> Iterator[None]:
    command = ["iperf3", "-s"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # it tells that it is ended
    server = netns.run_inside(place.server, lambda: subprocess.Popen(command, **quiet))
    time.sleep(0.3)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def through(where: int, address: str, seconds: int) -> float:
    command = ["iperf3", "-J", "-c", address, "-t", str(seconds)]
    done = netns.run_inside(where, lambda: subprocess.run(command, capture_output=True, text=True))
    said = json.loads(done.stdout)
    if "error" in said:
        raise RuntimeError(f"iperf3 to {address}: {said['error']}")
    return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9


def measure(docker: bool, count: int, seconds: int) -> list[Row]:
    found = []
    with streets(docker) as sides:
        places = [_place(side) for side in sides]
        print(f"{machine()}; gigabits a second, median of {count} × {seconds} s")
        print(f"{'':28}" + "".join(f"{side.engine.name:>10}" for side in sides))
        ways = {
            "published, from outside": [(place.side.neighbour, HOST4) for place in places],
            "published, from localhost": [(place.side.host, "127.0.0.1") for place in places],
            "published, from [::1]": [(place.side.host, "::1") for place in places],
            "container to container": [(place.client, place.address) for place in places],
        }
        for name, targets in ways.items():
            actions = [lambda target=target: through(*target, seconds) for target in targets]
            with _all_serving(places):
                row = interleaved(name, actions, count, warm=1)
            found.append(row)
            print(f"{name:28}" + "".join(f"{value:10.2f}" for value in row.medians), flush=True)
        for place in places:
            os.close(place.server)
            os.close(place.client)
    return found


@contextmanager
def _all_serving(places: list[Place]) -> Iterator[None]:
    if not places:
        yield
        return
    with _serving(places[0]), _all_serving(places[1:]):
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="without a Docker beside")
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    found = measure(not given.alone, given.n, given.seconds)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({row.case: {"median": row.medians} for row in found}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
