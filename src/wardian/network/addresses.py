"""Which subnet a network takes, and which address an endpoint gets. Pure: what is taken is given by the caller.

Addresses go round the subnet: one that was just released is the last to be given again, so that what remembers it (a
neighbour's ARP entry, a connection in TIME_WAIT) has forgotten it by then.
"""

import ipaddress
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from wardian.errors import UNAVAILABLE, WardianError

# A route shorter than this is a default route in pieces (VPNs install 0.0.0.0/1 and 128.0.0.0/1), nobody's subnet.
SHORTEST_SUBNET = 8


class Taken(NamedTuple):
    """A range that the host uses, and by what: "route" or "address", and the link's name."""

    network: ipaddress.IPv4Network
    by: str


def candidates() -> Iterator[ipaddress.IPv4Network]:
    """Private ranges (RFC 1918) in the order in which Docker takes them, then a few more of 10.0.0.0/8."""
    for second in range(17, 32):
        yield ipaddress.IPv4Network(f"172.{second}.0.0/16")
    yield from ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
    yield from ipaddress.IPv4Network("10.192.0.0/10").subnets(new_prefix=16)


def conflict(network: ipaddress.IPv4Network, taken: Sequence[Taken]) -> Taken | None:
    """What of the host overlaps `network`, or None."""
    for one in taken:
        if one.network.prefixlen >= SHORTEST_SUBNET and one.network.overlaps(network):
            return one
    return None


def choose_subnet(taken: Sequence[Taken]) -> ipaddress.IPv4Network:
    """The first candidate that nothing of the host overlaps. Raises UNAVAILABLE that says what takes the first one."""
    for network in candidates():
        if conflict(network, taken) is None:
            return network
    first = next(candidates())
    blocker = conflict(first, taken)
    raise WardianError(
        UNAVAILABLE,
        f"no private range is free for a bridge: {first} is taken by {blocker.by if blocker else 'the host'}",
        operation="choose a subnet",
        subject=str(first),
    )


def gateway_of(subnet: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    return subnet.network_address + 1


def next_address(
    subnet: ipaddress.IPv4Network, used: Collection[ipaddress.IPv4Address], last: ipaddress.IPv4Address | None
) -> ipaddress.IPv4Address | None:
    """The first unused address after `last`, going round; None when all are used. Never network, gateway, broadcast."""
    first, end = int(subnet.network_address) + 2, int(subnet.broadcast_address)
    start = int(last) + 1 if last is not None and first <= int(last) < end else first
    for number in (*range(start, min(start + len(used) + 1, end)), *range(first, min(first + len(used) + 1, end))):
        address = ipaddress.IPv4Address(number)
        if address not in used:
            return address
    return None


def mac_of(address: ipaddress.IPv4Address) -> str:
    """The MAC that follows from an address, as Docker makes it: 02:42 (locally administered), then the address."""
    return "02:42:" + address.packed.hex(":")
