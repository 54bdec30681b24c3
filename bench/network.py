"""What an attachment costs: attach and detach, on a host of the bench's own (a network namespace; root needed).

    python bench/network.py [--runs N]

`warm`: the pool is full. `gap 0.1`: the same after 100 ms of idle. `hot loop`: one after the other, faster than the
pool refills. `20 at once`: from the first call to the last answer, and for each. `fill`: one namespace for the pool.
Each namespace is closed at once, so that the kernel takes links down meanwhile. For the default bridge, the same with a
published port, a network of a user's (with names), and one with IPv6.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))

from homes import remove_empty_groups
from own_host import own_host
from wardian.database import Database
from wardian.home import make_home
from wardian.network import SCHEMA, EndpointWant, Networks, PortWant, SandboxWant, close_ports


def show(name: str, seconds: list[float]) -> None:
    ms = sorted(1000 * one for one in seconds)
    print(f"{name:28} median {statistics.median(ms):7.2f} ms   min {ms[0]:7.2f}   p90 {ms[int(len(ms) * 0.9)]:7.2f}")


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


_NUMBERS = itertools.count(1)


class Bench:
    """Attachments to one network, `ports` published."""

    def __init__(self, networks: Networks, runs: int, name: str, network: str, ports: int = 0) -> None:
        self.networks = networks
        self.runs = runs
        self.name = name
        self.want = SandboxWant((EndpointWant(network),), tuple(PortWant(80 + n, "tcp") for n in range(ports)))

    async def attach(self) -> str:
        number = next(_NUMBERS)
        sandbox = f"{number:064x}"
        attachment = await self.networks.attach(sandbox, self.want._replace(names=(f"box{number}",)))
        close_ports(attachment.published)
        os.close(attachment.netns_fd)
        return sandbox

    async def one_by_one(self, how: str, gap: float, full: bool, runs: int) -> None:
        taken, released = [], []
        for _ in range(runs):
            if full:
                await self.networks.host.plumbing.filled()
            await asyncio.sleep(gap)
            start = time.perf_counter()
            sandbox = await self.attach()
            taken.append(time.perf_counter() - start)
            released.append(await timed(lambda sandbox=sandbox: self.networks.detach(sandbox)))
        show(f"{self.name}, {how}", taken)
        show(f"{self.name}, {how}, detach", released)

    async def at_once(self, count: int) -> None:
        whole, each = [], []
        for _ in range(max(1, self.runs // count)):
            await self.networks.host.plumbing.filled()
            start = time.perf_counter()
            each += await asyncio.gather(*(timed(self.attach) for _ in range(count)))
            whole.append(time.perf_counter() - start)
        show(f"{self.name}, {count} at once, all", whole)
        show(f"{self.name}, {count} at once, each", each)

    async def fill(self) -> None:
        plumbing, seconds = self.networks.host.plumbing, []
        for _ in range(self.runs // 4):
            plumbing.discard()
            seconds.append(await timed(plumbing.filled) / 4)
        show("fill, each", seconds)


async def measure(networks: Networks, runs: int) -> None:
    bridge = networks.network("bridge").id
    default = Bench(networks, runs, "bridge", bridge)
    await default.fill()
    plain = (await networks.create({"Name": "plain"}))[0].id
    both = (await networks.create({"Name": "both", "EnableIPv6": True}))[0].id
    for bench in (
        default,
        Bench(networks, runs, "port", bridge, ports=1),
        Bench(networks, runs, "user's", plain),
        Bench(networks, runs, "IPv6", both),
    ):
        await bench.one_by_one("warm", 0, True, runs)
        await bench.one_by_one("gap 0.1", 0.1, True, max(10, runs // 5))
        await bench.one_by_one("hot loop", 0, False, runs)
        await bench.at_once(20)


async def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        home = make_home(f"{root}/data", f"{root}/run", cgroup_base=f"wardian-bench-{os.getpid()}", bridge="wtbench")
        database = Database(home.database, [SCHEMA])
        networks = Networks(home, database)
        show("start", [await timed(networks.start)])
        try:
            await measure(networks, runs)
        finally:
            show("stop and purge", [await timed(lambda: networks.stop(purge=True))])
            database.close()
            remove_empty_groups(home.cgroup_base)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    with own_host():
        asyncio.run(main(parser.parse_args().runs))
