"""All figures in one run: the API warm, with idle gaps, and 20 at once; commands; memory; the kernel's floor.

usage: all.py [--docker SOCKET] [-n N]      (without a Docker, ours alone)
"""

import argparse
import datetime
import os
import sys

import cli
import floor
import memory
import run_api


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="", help="Docker's socket")
    parser.add_argument("-n", type=int, default=20)
    given = parser.parse_args()
    docker = given.docker if os.path.exists(given.docker.removeprefix("unix://")) else ""
    if given.docker and not docker:
        print(f"no Docker on {given.docker}: ours alone")
    print(datetime.date.today().isoformat())
    run_api.measure(docker, given.n, 0.0, [])
    run_api.measure(docker, given.n, 0.1, [])
    cli.measure(docker, given.n, 0.0)
    cli.measure(docker, given.n, 0.1)
    memory.measure(docker)
    floor.measure(200)
    return 0


if __name__ == "__main__":
    sys.exit(main())
