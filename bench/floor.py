"""What the kernel alone takes for the operations of a container (floor.c): the floor under every engine's figure.

usage: floor.py [-n N]
"""

import argparse
import os
import subprocess
import sys
import tempfile

from rig import busybox_archive, machine

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {
    "fork, exec, wait": "e",
    "the same in namespaces on an overlay": "",
    "and with a network namespace": "n",
}


def measure(count: int) -> dict[str, float]:
    """Median milliseconds by case. Needs root and a C compiler."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="wardian-floor-") as home:
        program, lower = os.path.join(home, "floor"), os.path.join(home, "lower")
        subprocess.run(["cc", "-O2", "-Wall", "-o", program, os.path.join(HERE, "floor.c")], check=True)
        os.mkdir(lower)
        subprocess.run(["tar", "-x", "-C", lower], input=busybox_archive(), check=True)
        print(f"the kernel alone; {machine()}; median ms of {count}")
        for number, (case, flags) in enumerate(CASES.items()):
            work = os.path.join(home, str(number))
            os.mkdir(work)
            done = subprocess.run([program, lower, work, str(count), flags], check=True, stdout=subprocess.PIPE)
            found[case] = int(done.stdout) / 1000
            print(f"{case:40}{found[case]:8.2f}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200)
    measure(parser.parse_args().n)
    return 0


if __name__ == "__main__":
    sys.exit(main())
