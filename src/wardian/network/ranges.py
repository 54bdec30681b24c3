"""Which ranges the host uses, and the lock under which an engine takes one that is free."""

import asyncio
import fcntl
import ipaddress
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from wardian.errors import UNAVAILABLE, WardianError
from wardian.kernel import netlink
from wardian.network.addresses import Taken, takes_a_range

# Root's alone, so that nobody else can hold it (an abstract socket's name, anybody can).
SUBNET_LOCK = "/run/wardian-subnet.lock"
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
    """Two engines that choose at once must not take the same range: flock(2), which goes with its holder. One lock for
    the machine, not for each network namespace: who waits in vain waits for milliseconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SUBNET_LOCK_SECONDS
    lock = os.open(SUBNET_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if loop.time() > deadline:
                    raise WardianError(
                        UNAVAILABLE,
                        f"another engine has been choosing its subnet for {SUBNET_LOCK_SECONDS} s",
                        operation="choose a subnet",
                        subject=SUBNET_LOCK,
                        errno=error.errno or 0,
                    ) from error
                await asyncio.sleep(_LOCK_STEP)
        yield
    finally:
        os.close(lock)
