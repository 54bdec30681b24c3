"""What an endpoint costs: acquire and release, on a host of the bench's own (a network namespace; root needed).

    python bench/network.py [--runs N]

`warm`: the pool is full. `gap 0.1`: the same after 100 ms of idle. `hot loop`: one after the other, faster than the
pool refills. `20 at once`: from the first call to the last answer, and for each. `fill`: one namespace for the pool.
Each namespace is closed at once, so that the kernel takes links down meanwhile.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))

from own_host import own_host
from wardian.database import Database
from wardian.home import make_home
from wardian.network import SCHEMA, Networks


def show(name: str, seconds: list[float]) -> None:
    ms = sorted(1000 * one for one in seconds)
    print(f"{name:24} median {statistics.median(ms):7.2f} ms   min {ms[0]:7.2f}   p90 {ms[int(len(ms) * 0.9)]:7.2f}")


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


class Bench:
    def __init__(self, networks: Networks, runs: int) -> None:
        self.networks = networks
        self.runs = runs
        self.number = 0
        assert networks.bridge.pool is not None, "started"
        self.pool = networks.bridge.pool

    async def acquire(self) -> str:
        self.number += 1
        sandbox = f"{self.number:064x}"
        endpoint = await self.networks.bridge.acquire(sandbox)
        os.close(endpoint.netns_fd)
        return sandbox

    async def one_by_one(self, name: str, gap: float, full: bool, runs: int) -> None:
        taken, released = [], []
        for _ in range(runs):
            if full:
                await self.pool.filled()
            await asyncio.sleep(gap)
            start = time.perf_counter()
            sandbox = await self.acquire()
            taken.append(time.perf_counter() - start)
            released.append(await timed(lambda sandbox=sandbox: self.networks.bridge.release(sandbox)))
        show(name, taken)
        show(f"{name}, release", released)

    async def at_once(self, count: int) -> None:
        whole, each = [], []
        for _ in range(max(1, self.runs // count)):
            await self.pool.filled()
            start = time.perf_counter()
            each += await asyncio.gather(*(timed(self.acquire) for _ in range(count)))
            whole.append(time.perf_counter() - start)
        show(f"{count} at once, all", whole)
        show(f"{count} at once, each", each)

    async def fill(self) -> None:
        seconds = []
        for _ in range(self.runs // 4):
            self.pool.discard()
            seconds.append(await timed(self.pool.filled) / 4)
        show("fill, each", seconds)


async def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        home = make_home(f"{root}/data", f"{root}/run", bridge="wtbench")
        database = Database(home.database, [SCHEMA])
        networks = Networks(home, database)
        show("start", [await timed(networks.start)])
        bench = Bench(networks, runs)
        await bench.one_by_one("warm", 0, True, runs)
        await bench.one_by_one("gap 0.1", 0.1, True, max(10, runs // 5))
        await bench.one_by_one("hot loop", 0, False, runs)
        await bench.at_once(20)
        await bench.fill()
        show("stop and purge", [await timed(lambda: networks.stop(purge=True))])
        database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    with own_host():
        asyncio.run(main(parser.parse_args().runs))
