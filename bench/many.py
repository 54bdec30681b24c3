"""Many running containers: what they cost in memory, and whether the last one starts as fast as the first.

usage: many.py [--count 500] [--network bridge] [--docker SOCKET] [--at-once 1] [--json FILE]

Private memory is memory.py's: what would be free if the process went. First and last are medians of ten starts, and so
is the list of all containers, as `ps` asks for it. Where only the list counts, `--at-once 8` starts so many at once:
five hundred of Docker's take minutes one by one.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from memory import private, resident
from rig import Engine, engines, machine, milliseconds

OF = 10  # starts or lists for one median


class Usage(NamedTuple):
    name: str
    first: float  # ms of a start, median of the first ten
    last: float  # of the last ten
    first_best: float  # the load of others only adds time
    last_best: float
    ps: float  # ms of GET /containers/json
    engine_private: float  # MB
    engine_resident: float  # MB
    supervisors: int  # our processes beside the engine
    median_private: float  # kB of one of them
    largest_private: float

    def text(self) -> str:
        return (
            f"{self.name:10} start: first {self.first:.2f} ms, last {self.last:.2f} ({self.last / self.first:.2f} ×); "
            f"best {self.first_best:.2f}, {self.last_best:.2f} ({self.last_best / self.first_best:.2f} ×); "
            f"ps {self.ps:.1f} ms; engine {self.engine_private:.1f} MB private, {self.engine_resident:.1f} resident; "
            f"{self.supervisors} supervisors, {self.median_private:.0f} kB private each, "
            f"at most {self.largest_private:.0f}"
        )


def _supervisor(engine: Engine, proc: str, container: str) -> int:
    """The parent of the container's process (proc_pid_stat(5)), as `proc` counts."""
    pid = engine.call("GET", f"/containers/{container}/json")["State"]["Pid"]
    with open(f"{proc}/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def measure_one(engine: Engine, count: int, network: str, at_once: int) -> Usage:
    warm = engine.create("sleep", "3600", NetworkMode=network)
    engine.start(warm)
    engine.remove(warm)
    with ThreadPoolExecutor(at_once) as pool:
        made = list(pool.map(lambda _: engine.create("sleep", "3600", NetworkMode=network), range(count)))
        starts = list(pool.map(lambda container: milliseconds(engine.start, container), made))
    lists = [milliseconds(engine.call, "GET", "/containers/json") for _ in range(OF)]
    time.sleep(1)
    process = engine.process()
    proc = f"/proc/{process}/root/proc"  # the newest Docker has a pid namespace of its own
    sizes = [private(pid, proc) for pid in {_supervisor(engine, proc, container) for container in made}]
    usage = Usage(
        engine.name, statistics.median(starts[:OF]), statistics.median(starts[-OF:]), min(starts[:OF]),
        min(starts[-OF:]), statistics.median(lists),
        private(process) / 1024, resident(process) / 1024, len(sizes), statistics.median(sizes), max(sizes),
    )  # fmt: skip
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(engine.remove, made))
    return usage


def measure(docker: str, count: int, network: str, at_once: int) -> list[Usage]:
    with engines(docker) as both:
        print(f"{count} running containers, network {network}; {machine()}")
        found = []
        for engine in both:
            found.append(measure_one(engine, count, network, at_once))
            print(found[-1].text(), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--network", default="bridge")
    parser.add_argument("--docker", default="", help="Docker's socket")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--json", default="", help="write the figures there too")
    given = parser.parse_args()
    usages = measure(given.docker, given.count, given.network, given.at_once)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({usage.name: usage._asdict() for usage in usages}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
