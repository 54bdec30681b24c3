"""Which subnet a network takes, and which address an endpoint gets. Pure: what is taken is given by the caller.

Addresses go round the subnet: one that was just released is the last to be given again, so that what remembers it (a
neighbour's ARP entry, a connection in TIME_WAIT) has forgotten it by then.
"""

import bisect
import hashlib
import ipaddress
import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from wardian.errors import INVALID, UNAVAILABLE, WardianError
from wardian.network.values import IPAddress, IPNetwork

# A route shorter than this is a default route in pieces (VPNs install 0.0.0.0/1 and 128.0.0.0/1, or 2000::/3), nobody's
# subnet.
_SHORTEST_SUBNET = {4: 8, 6: 16}
# How many of those that take a pool are named when all pools are taken.
_NAMED = 6


class Taken(NamedTuple):
    """A range that is used, and by what: "a route by eth0", "an address of eth0", "the network web"; of the host's, the
    link too."""

    network: IPNetwork
    by: str
    link: str = ""


class Pool(NamedTuple):
    """Networks that take no subnet of their own get one of `base`, of prefix length `size`."""

    base: IPNetwork
    size: int

    def __str__(self) -> str:
        return str(self.base) if self.base.prefixlen == self.size else f"{self.base} by /{self.size}"


def _default_pools() -> tuple[Pool, ...]:
    """Private ranges (RFC 1918) in the order in which Docker takes them, then a part of 10.0.0.0/8."""
    sixteens = [Pool(ipaddress.IPv4Network(f"172.{second}.0.0/16"), 16) for second in range(17, 32)]
    rest = [Pool(ipaddress.IPv4Network(base), 20) for base in ("192.168.0.0/16", "10.192.0.0/10")]
    return (*sixteens, *rest)


DEFAULT_POOLS = _default_pools()


def parse_pool(text: str) -> Pool:
    """`base=10.201.0.0/16,size=24`, Docker's spelling. Raises WardianError."""
    fields = dict(part.strip().partition("=")[::2] for part in text.split(","))
    try:
        pool = Pool(ipaddress.ip_network(fields.pop("base").strip()), int(fields.pop("size")))
        if fields:
            raise ValueError(f"{next(iter(fields))!r} is no field of a pool")
        if not pool.base.prefixlen <= pool.size <= pool.base.max_prefixlen - 2:
            raise ValueError(f"a subnet of /{pool.size} does not fit or has no address to give")
    except (KeyError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise WardianError(
            INVALID,
            f"invalid default address pool {text!r}: {reason}",
            operation="configure the address pools",
            subject=text,
            hint="write base=10.201.0.0/16,size=24",
        ) from None
    return pool


def unique_local(seed: str) -> Pool:
    """An engine's own IPv6 pool: a /48 of fd00::/8 that follows from `seed`, a random text (RFC 4193, 3.2)."""
    identity = hashlib.sha256(seed.encode()).digest()[:5]
    return Pool(ipaddress.IPv6Network((b"\xfd" + identity + bytes(10), 48)), 64)


def engine_pools(asked: Iterable[str], seed: str) -> tuple[Pool, ...]:
    """The pools of an engine: those that it was told, else the default ones; a family that was not told keeps its own.

    Raises WardianError for a pool that is none, and for two that overlap.
    """
    pools = tuple(parse_pool(text) for text in asked)
    for place, pool in enumerate(pools):
        for other in pools[:place]:
            if pool.base.overlaps(other.base):
                message = f"the default address pools {other.base} and {pool.base} overlap"
                raise WardianError(INVALID, message, operation="configure the address pools", subject=str(pool.base))
    four = tuple(pool for pool in pools if pool.base.version == 4) or DEFAULT_POOLS
    six = tuple(pool for pool in pools if pool.base.version == 6) or (unique_local(seed),)
    return four + six


def takes_a_range(destination: IPNetwork) -> bool:
    """Whether a route of the host is to somebody's subnet, and not to all the world."""
    return destination.prefixlen >= _SHORTEST_SUBNET[destination.version]


def conflict(network: IPNetwork, taken: Iterable[Taken]) -> Taken | None:
    """What of `taken` overlaps `network`, or None."""
    for one in taken:
        if one.network.version == network.version and one.network.overlaps(network):
            return one
    return None


class _Occupied:
    """Ranges as sorted, merged numbers: whether one is free is a search, not a walk over all of them."""

    def __init__(self, taken: Iterable[Taken], version: int) -> None:
        spans = sorted(
            (int(one.network.network_address), int(one.network.broadcast_address))
            for one in taken
            if one.network.version == version
        )
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in spans:
            if self._last and first <= self._last[-1] + 1:
                self._last[-1] = max(self._last[-1], last)
            else:
                self._first.append(first)
                self._last.append(last)

    def blocking(self, first: int, last: int) -> int | None:
        """The last number of a taken range that overlaps this one, or None."""
        place = bisect.bisect_right(self._first, last) - 1
        return self._last[place] if place >= 0 and self._last[place] >= first else None


def choose_subnet(taken: Sequence[Taken], pools: Sequence[Pool] = DEFAULT_POOLS, version: int = 4) -> IPNetwork:
    """The first subnet of the pools that nothing overlaps. Raises UNAVAILABLE, which says what takes each pool."""
    occupied = _Occupied(taken, version)
    mine = [pool for pool in pools if pool.base.version == version]
    for pool in mine:
        found = _first_free(pool, occupied)
        if found is not None:
            return found
    raise WardianError(
        UNAVAILABLE,
        "all predefined address pools have been fully subnetted: " + "; ".join(_told(mine, taken)),
        operation="choose a subnet",
        hint="name a --subnet, or start the engine with --default-address-pool base=…,size=…",
    )


def _first_free(pool: Pool, occupied: _Occupied) -> IPNetwork | None:
    step = 1 << (pool.base.max_prefixlen - pool.size)
    first, end = int(pool.base.network_address), int(pool.base.broadcast_address)
    while first + step - 1 <= end:
        blocked_to = occupied.blocking(first, first + step - 1)
        if blocked_to is None:
            return type(pool.base)((first, pool.size))
        first = (blocked_to // step + 1) * step
    return None


def _told(pools: Iterable[Pool], taken: Sequence[Taken]) -> list[str]:
    """A sentence for each pool; one for neighbours that the same things take."""
    told: list[tuple[str, str, str]] = []  # first pool, last pool, what takes them
    for pool in pools:
        by = _takers(pool, taken)
        first = told.pop()[0] if told and told[-1][2] == by else str(pool)
        told.append((first, str(pool), by))
    return [f"{first}{f' to {last}' if last != first else ''} is taken by {by}" for first, last, by in told]


def _takers(pool: Pool, taken: Iterable[Taken]) -> str:
    names = list(dict.fromkeys(one.by for one in taken if conflict(pool.base, [one])))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def usable(subnet: IPNetwork) -> tuple[int, int]:
    """The first and the last address that somebody may have, as numbers.

    Not an IPv4 subnet's own and its broadcast address, unless it is too small to have them (RFC 3021), and not the
    subnet-router anycast address of an IPv6 subnet (RFC 4291, 2.6.1).
    """
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    if subnet.version == 6:
        return first + 1, last
    return (first, last) if subnet.prefixlen >= 31 else (first + 1, last - 1)


def gateway_of(subnet: IPNetwork, ip_range: IPNetwork | None = None) -> IPAddress:
    """The address that a network's gateway takes unless one is asked for: the first one that may be given."""
    low, high = _bounds(subnet, ip_range)
    if low > high:
        message = "failed to allocate gateway (): no available addresses on this pool"
        raise WardianError(INVALID, message, operation="allocate a gateway", subject=str(subnet))
    return type(subnet.network_address)(low)


def _bounds(subnet: IPNetwork, ip_range: IPNetwork | None) -> tuple[int, int]:
    low, high = usable(subnet)
    if ip_range is None:
        return low, high
    return max(low, int(ip_range.network_address)), min(high, int(ip_range.broadcast_address))


def next_address(
    subnet: IPNetwork, used: Collection[IPAddress], last: IPAddress | None, ip_range: IPNetwork | None = None
) -> IPAddress | None:
    """The first address after `last` that is not in `used`, going round; None when all are.

    `used` has the gateway and the auxiliary addresses too.
    """
    low, high = _bounds(subnet, ip_range)
    start = int(last) + 1 if last is not None and low <= int(last) < high else low
    make = type(subnet.network_address)
    end = high + 1
    among = len(used) + 1  # one of so many is free
    for number in itertools.chain(range(start, min(start + among, end)), range(low, min(low + among, end))):
        address = make(number)
        if address not in used:
            return address
    return None


def mac_of(address: IPAddress) -> str:
    """The MAC that follows from an address: 02:42 (locally administered), then an IPv4 address, as Docker long made it;
    for an IPv6 address a digest of it."""
    octets = address.packed if address.version == 4 else hashlib.sha256(address.packed).digest()[:4]
    return "02:42:" + octets.hex(":")
