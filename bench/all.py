"""All figures in one run, as one block to quote: API calls and commands, warm and with idle gaps; memory; the floor.

usage: all.py [--docker SOCKET] [-n N]      (without a Docker, ours alone; what is under way is told on standard error)
"""

import argparse
import contextlib
import datetime
import os
import sys

import cli
import floor
import memory
import run_api
from rig import Engine, Row, machine


def _pairs(warm: list[Row], gap: list[Row], docker: str) -> list[str]:
    """A Markdown row for each case: ours, Docker's and the ratio, warm and after 0.1 s of idle."""
    both = {row.case: row for row in gap}
    lines = []
    for row in warm:
        if row.case in both:
            cells = [f"{value:.1f}" if value >= 10 else f"{value:.2f}" for value in row.medians]
            idle = [f"{value:.1f}" if value >= 10 else f"{value:.2f}" for value in both[row.case].medians]
            columns = [*cells, row.ratio(), *idle, both[row.case].ratio()] if docker else [*cells, *idle]
            lines.append(f"| {row.case} | {' | '.join(columns)} |")
    return lines


def _head(docker: str, count: int) -> list[str]:
    columns = ["Wardian"]
    if docker:
        columns += [f"Docker {Engine('docker', docker).call('GET', '/version')['Version']}", "ratio"]
    columns *= 2
    spans = f"median ms of {count}: warm, then with 0.1 s of idle before each call"
    return [
        f"{datetime.date.today().isoformat()}; {machine()}; {spans}", "",
        f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}",
    ]  # fmt: skip


def _block(docker: str, count: int) -> str:
    calls = run_api.measure(docker, count, 0.0, []), run_api.measure(docker, count, 0.1, [])
    commands = cli.measure(docker, count, 0.0), cli.measure(docker, count, 0.1)
    usages = memory.measure(docker)
    floors = floor.measure(200)
    lines = [*_head(docker, count), *_pairs(*calls, docker), *_pairs(*commands, docker), ""]
    for usage in usages:
        engine, each = usage.engine_rss / 1024, usage.supervisor_private
        lines.append(
            f"{usage.name}: engine {engine:.0f} MB resident, each container's supervisor {each:.0f} kB private"
        )
    lines.append("the kernel alone: " + ", ".join(f"{case} {value:.2f} ms" for case, value in floors.items()))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="", help="Docker's socket")
    parser.add_argument("-n", type=int, default=20)
    given = parser.parse_args()
    docker = given.docker.removeprefix("unix://")
    if docker and not os.path.exists(docker):
        print(f"no Docker on {docker}: ours alone", file=sys.stderr)
        docker = ""
    with contextlib.redirect_stdout(sys.stderr):
        block = _block(docker, given.n)
    print(block)
    return 0


if __name__ == "__main__":
    sys.exit(main())
