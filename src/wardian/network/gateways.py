"""Which of a sandbox's endpoints leads outward, where its published ports lead, what its links are called. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from wardian.network.endpoint_options import IFNAME
from wardian.network.ports import Target
from wardian.network.values import Endpoint, EndpointWant, NetworkConfig

# the driver whose networks publish ports: the others' packets do not pass through the host
_PUBLISHES = "bridge"


def gateways(endpoints: Sequence[Endpoint]) -> Mapping[int, Endpoint]:
    """By family (4, 6), the endpoint that has the default route.

    Docker's order: the highest priority, then what leads outward by both families, then the network's name. An internal
    network leads nowhere.
    """
    outward = [one for one in endpoints if not one.network.internal]
    outward.sort(key=lambda one: (-one.want.gw_priority, -len(_families(one)), one.network.name))
    found: dict[int, Endpoint] = {}
    for one in outward:
        for family in _families(one):
            found.setdefault(family, one)
    return found


def families_of(endpoint: Endpoint, by_family: Mapping[int, Endpoint]) -> tuple[int, ...]:
    """The families whose default route goes through this endpoint."""
    return tuple(family for family, one in by_family.items() if one.id == endpoint.id)


def target_of(by_family: Mapping[int, Endpoint]) -> Target:
    """Where published ports lead: by each family to the endpoint that has its default route."""
    four, six = (
        one if one is not None and one.network.driver == _PUBLISHES else None
        for one in (by_family.get(4), by_family.get(6))
    )
    modes = [(4, four.network.gateway_mode4)] if four is not None else []
    modes += [(6, six.network.gateway_mode6)] if six is not None else []
    return Target(
        four.ipv4 if four is not None else "",
        six.ipv6 if six is not None else "",
        four.network.link if four is not None else "",
        six.network.link if six is not None else "",
        frozenset(family for family, mode in modes if mode == "routed"),
    )


def leads_somewhere(target: Target) -> bool:
    return bool(target.ipv4 or target.ipv6)


def host_binding(by_family: Mapping[int, Endpoint]) -> str:
    """The host's address for ports that name none, as the network says."""
    return next((one.network.host_binding for _, one in sorted(by_family.items())), "")


def interface_name(config: NetworkConfig, want: EndpointWant, taken: Collection[str]) -> str:
    """What the link is called inside: as asked, else the network's prefix and the first number that is free."""
    asked = want.driver_opts.get(IFNAME, "")
    if asked:
        return asked
    numbers: Iterable[int] = range(len(taken) + 1)
    return next(name for name in (f"{config.interface_prefix}{number}" for number in numbers) if name not in taken)


def _families(endpoint: Endpoint) -> list[int]:
    """Without a gateway's address a link may lead outward still: a macvlan's own router says so, or the link itself."""
    found = []
    for family, address, gateway in ((4, endpoint.ipv4, endpoint.gateway4), (6, endpoint.ipv6, endpoint.gateway6)):
        if address and (gateway or endpoint.network.driver == "ipvlan"):
            found.append(family)
    return found
