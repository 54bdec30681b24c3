"""Which ranges the host uses, and the lock under which an engine takes one that is free."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from wardian.errors import UNAVAILABLE, WardianError
from wardian.kernel import netlink
from wardian.network.addresses import Taken, takes_a_range

SUBNET_LOCK = "\0wardian-subnet"
SUBNET_LOCK_SECONDS = 10
_LOCK_STEP = 0.01


def host_ranges(own: Collection[str]) -> list[Taken]:
    """Routes and addresses of both families in the calling thread's network namespace, but for those of links `own`.

    Default routes take nothing.
    """
    nl = netlink.Netlink()
    try:
        names = {link.ifindex: link.name for link in nl.links()}
        used = [(route.ifindex, route.destination, "a route by") for route in nl.routes()]
        for one in nl.addresses():
            used.append(
                (one.ifindex, ipaddress.ip_network(f"{one.address}/{one.prefix}", strict=False), "an address of")
            )
        found = [Taken(network, f"{by} {names.get(index, '?')}", names.get(index, "")) for index, network, by in used]
        return [one for one in found if one.link not in own and takes_a_range(one.network)]
    finally:
        nl.close()


@asynccontextmanager
async def subnet_lock() -> AsyncIterator[None]:
    """Two engines that choose at once must not take the same range. The lock is an abstract socket's name (unix(7)):
    it belongs to the network namespace, as the ranges do, and goes with its holder."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SUBNET_LOCK_SECONDS
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        while True:
            try:
                lock.bind(SUBNET_LOCK)
                break
            except OSError as error:
                if loop.time() > deadline:
                    raise WardianError(
                        UNAVAILABLE,
                        f"another engine has been choosing its subnet for {SUBNET_LOCK_SECONDS} s",
                        operation="choose a subnet",
                        errno=error.errno or 0,
                    ) from error
                await asyncio.sleep(_LOCK_STEP)
        yield
