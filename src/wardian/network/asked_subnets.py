"""The subnets that a create body asks for: read, and checked for themselves, in Docker's words. Pure."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.network import refusals, shapes
from wardian.network.values import IPAddress, IPNetwork, parse_address


class AskedSubnet(NamedTuple):
    subnet: IPNetwork
    ip_range: IPNetwork | None
    gateway: IPAddress | None
    auxiliary: tuple[tuple[str, IPAddress], ...]


def read_subnets(configs: Sequence[Mapping[str, Any]]) -> Iterator[AskedSubnet]:
    """All that is wrong with them is told at once, as Docker tells it."""
    problems: list[str] = []
    found = [_read_subnet(one, problems) for one in configs]
    if problems:
        text = problems[0] if len(problems) == 1 else "\n".join(f"* {one}" for one in problems)
        raise refusals.invalid(f"invalid network config:\n{text}", "IPAM.Config")
    return (one for one in found if one is not None)


def _read_subnet(config: Mapping[str, Any], problems: list[str]) -> AskedSubnet | None:
    text = shapes.text(config, "Subnet", "IPAM.Config.")
    try:
        subnet = _block(text)
    except ValueError:
        problems.append(f"invalid subnet {text}: invalid CIDR block notation")
        return None
    if _address(text.partition("/")[0]) != subnet.network_address:
        problems.append(f"invalid subnet {text}: it should be {subnet}")
    elif not _for_hosts(subnet):
        problems.append(f"invalid subnet {text}: its addresses are no hosts'")
    ip_range = _read_range(shapes.text(config, "IPRange", "IPAM.Config."), subnet, text, problems)
    gateway = _read_gateway(shapes.text(config, "Gateway", "IPAM.Config."), subnet, text, problems)
    auxiliary = []
    for name, value in shapes.texts(config, "AuxiliaryAddresses", "IPAM.Config.").items():
        address = _inside(value, subnet, text, f"invalid auxiliary address {name}", problems)
        if address is not None:
            auxiliary.append((name, address))
    return AskedSubnet(subnet, ip_range, gateway, tuple(auxiliary))


def _block(text: str) -> IPNetwork:
    """A CIDR block, its host's bits cut off. ValueError for what is none, a bare address too."""
    if "/" not in text or not text.rpartition("/")[2].isdigit():
        raise ValueError(text)
    parse_address(text.partition("/")[0])
    return ipaddress.ip_network(text, strict=False)


def _for_hosts(subnet: IPNetwork) -> bool:
    """Not for loopback, multicast, IPv4 in IPv6, or all the world: Docker takes those, and they serve nobody."""
    first = subnet.network_address
    mapped = isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped is not None
    return bool(subnet.prefixlen) and not (first.is_loopback or first.is_multicast or first.is_unspecified or mapped)


def _address(text: str) -> IPAddress | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _read_range(text: str, subnet: IPNetwork, shown: str, problems: list[str]) -> IPNetwork | None:
    if not text:
        return None
    try:
        found = _block(text)
    except ValueError:
        problems.append(f"invalid ip-range {text}: invalid CIDR block notation")
        return None
    if found.version != subnet.version:
        problems.append(f"invalid ip-range {text}: parent subnet is an IPv{subnet.version} block")
        return found
    if found.prefixlen < subnet.prefixlen:
        problems.append(f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {shown}")
    if _address(text.partition("/")[0]) != found.network_address:
        problems.append(f"invalid ip-range {text}: it should be {found}")
    if not found.overlaps(subnet):
        problems.append(f"invalid ip-range {text}: parent subnet {shown} doesn't contain ip-range")
    return found


def _read_gateway(text: str, subnet: IPNetwork, shown: str, problems: list[str]) -> IPAddress | None:
    return _inside(text, subnet, shown, f"invalid gateway {text}", problems) if text else None


def _inside(text: str, subnet: IPNetwork, shown: str, what: str, problems: list[str]) -> IPAddress | None:
    address = _address(text)
    if address is None:
        problems.append(f"{what}: invalid address")
    elif address.version != subnet.version:
        problems.append(f"{what}: parent subnet is an IPv{subnet.version} block")
    elif address not in subnet:
        problems.append(f"{what}: parent subnet {shown} doesn't contain this address")
    return address
