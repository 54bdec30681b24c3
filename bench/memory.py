"""Memory with 20 running containers: private memory of what stays with each, resident memory of the engine.

usage: memory.py [--docker SOCKET]

Private memory is what would be free if the process went (Private_Clean + Private_Dirty of smaps_rollup, proc(5)):
pages that twenty copies of one program share are not counted twenty times.
"""

import argparse
import os
import statistics
import sys
import time
from typing import NamedTuple

from rig import Engine, engines, machine

COUNT = 20
SUPERVISORS = {"wardian": "wardian-launcher", "docker": "containerd-shim"}


class Usage(NamedTuple):
    name: str
    engine_rss: int  # kB
    supervisor_private: float  # kB, median
    supervisors: int


def supervisors(program: str) -> set[int]:
    """Processes of this program that are nobody's container: their parent is init or another of the same."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read().partition(b"\0")[0].decode(errors="replace")
            if program in command or program in os.readlink(f"/proc/{name}/exe"):
                found.add(int(name))
        except OSError:
            continue
    return found


def private(pid: int, proc: str = "/proc") -> int:
    with open(f"{proc}/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean:", "Private_Dirty:")))


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def measure_one(engine: Engine) -> Usage:
    before = supervisors(SUPERVISORS[engine.name])
    containers = [engine.create("sleep", "600", NetworkMode="none") for _ in range(COUNT)]
    for container in containers:
        engine.start(container)
    time.sleep(1)
    watching = supervisors(SUPERVISORS[engine.name]) - before
    usage = Usage(
        engine.name,
        resident(engine.process()),
        statistics.median(map(private, watching)) if watching else 0,
        len(watching),
    )
    for container in containers:
        engine.remove(container)
    return usage


def measure(docker: str) -> list[Usage]:
    with engines(docker) as both:
        print(f"memory with {COUNT} containers; {machine()}")
        found = [measure_one(engine) for engine in both]
    for usage in found:
        print(
            f"{usage.name:10} engine {usage.engine_rss / 1024:7.1f} MB resident; "
            f"{usage.supervisors} supervisors, {usage.supervisor_private:.0f} kB private each"
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="", help="Docker's socket")
    measure(parser.parse_args().docker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
