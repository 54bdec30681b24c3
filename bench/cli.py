"""`wardian run --rm --network none IMAGE true` as a command, beside `docker run` with the same arguments, interleaved.

usage: cli.py [--docker SOCKET] [-n N] [--gap SECONDS]
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

from rig import IMAGE, WARDIAN, Engine, Row, engines, interleaved, machine, milliseconds

COMMANDS: dict[str, tuple[str, ...]] = {
    "`run --rm` as a command, no network": ("run", "--rm", "--network", "none", IMAGE, "true"),
    "`run --rm` as a command, bridge": ("run", "--rm", IMAGE, "true"),
    "`ps` as a command": ("ps",),
}


def _command(engine: Engine, arguments: tuple[str, ...]) -> Callable[[], float]:
    program = WARDIAN if engine.name == "wardian" else "docker"
    environment = {**os.environ, "DOCKER_HOST": f"unix://{engine.path}", "WARDIAN_HOST": f"unix://{engine.path}"}

    def once() -> None:
        subprocess.run(
            [program, *arguments], env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True
        )

    return lambda: milliseconds(once)


def measure(docker: str, count: int, gap: float) -> list[Row]:
    rows = []
    with engines(docker) as both:
        print(f"commands; {machine()}; gap {gap} s; median ms of {count}")
        print(f"{'':38}" + "".join(f"{engine.name:>10}" for engine in both))
        for name, arguments in COMMANDS.items():
            rows.append(interleaved(name, [_command(engine, arguments) for engine in both], count, gap))
            print(rows[-1].text(38), flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="", help="Docker's socket")
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--gap", type=float, default=0.0)
    given = parser.parse_args()
    measure(given.docker, given.n, given.gap)
    return 0


if __name__ == "__main__":
    sys.exit(main())
