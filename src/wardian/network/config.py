"""What is asked → a NetworkConfig: subnets and gateways, chosen beside all that is taken. Pure; texts are Docker's.

config, warnings = complete(read_network(body), …)
"""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from wardian.errors import CONFLICT, WardianError
from wardian.network import addresses, refusals
from wardian.network.addresses import Pool, Taken
from wardian.network.asked import OF_CONFIGURATION, PREDEFINED, Asked
from wardian.network.asked_subnets import AskedSubnet
from wardian.network.values import EndpointWant, IPNetwork, NetworkConfig, Subnet

_OVERLAPS = "invalid pool request: Pool overlaps with other one on this address space"
# prefix of the links that are made for a network that has none of the host's, as Docker names them
_LINK_PREFIX = {"bridge": "br-", "macvlan": "dm-", "ipvlan": "di-"}


class Beside(NamedTuple):
    """What a new network must keep off. `networks` are this engine's, `host` what the host's kernel has."""

    networks: Sequence[NetworkConfig]
    host: Sequence[Taken]
    pools: Sequence[Pool]


def own_ranges(networks: Sequence[NetworkConfig]) -> list[Taken]:
    real = (network for network in networks if not network.config_only)
    return [Taken(one.subnet, f"the network {network.name}") for network in real for one in network.subnets]


def overlaps(networks: Sequence[NetworkConfig], host: Sequence[Taken]) -> list[str]:
    """What a person should know of networks whose ranges the host has come to use since they were made. A macvlan's
    and an ipvlan's are their parent's."""
    return [
        f"the network {network.name} has {one.subnet}, which overlaps {blocker.network}, {blocker.by}"
        for network in networks
        if network.driver == "bridge" and network.name not in PREDEFINED
        for one in network.subnets
        if (blocker := addresses.conflict(one.subnet, host)) is not None
    ]


def complete(asked: Asked, identity: str, created: str, beside: Beside) -> tuple[NetworkConfig, list[str]]:
    """The network, and what a person should know of it. Raises WardianError."""
    own = own_ranges(beside.networks)
    warnings: list[str] = []
    subnets: list[Subnet] = []
    for one in asked.subnets:
        if not _enabled(asked, one.subnet.version):
            warnings.append(f"the subnet {one.subnet} is not used: IPv{one.subnet.version} is off for this network")
            continue
        if addresses.conflict(one.subnet, own) or addresses.conflict(one.subnet, own_subnets(subnets)):
            raise refusals.refused(_OVERLAPS, str(one.subnet))
        if asked.driver == "bridge" and (blocker := addresses.conflict(one.subnet, beside.host)):
            warnings.append(f"the subnet {one.subnet} overlaps {blocker.network}, {blocker.by}")
        subnets.append(_settle(asked, one))
    taken = [*own, *own_subnets(subnets), *beside.host]
    for version in (4, 6):
        if _enabled(asked, version) and not any(one.subnet.version == version for one in subnets):
            chosen = addresses.choose_subnet(taken, beside.pools, version)
            subnets.append(_settle(asked, AskedSubnet(chosen, None, None, ()))._replace(chosen=True))
    config = _said(asked, identity, created)._replace(
        driver=asked.driver,
        subnets=tuple(subnets),
        internal=asked.internal,
        attachable=asked.attachable,
        link=_link_of(asked, identity),
        config_from=asked.config_from,
    )
    _check_link(config, beside)
    return config, warnings


def configuration(asked: Asked, identity: str, created: str) -> NetworkConfig:
    """One that is only a configuration: as it was asked for, with nothing chosen. Docker calls its driver null."""
    return _said(asked, identity, created)._replace(
        subnets=tuple(Subnet(one.subnet, one.gateway, one.ip_range, one.auxiliary) for one in asked.subnets),
        config_only=True,
    )


def _said(asked: Asked, identity: str, created: str) -> NetworkConfig:
    """What is as it was asked for, of a network and of a configuration."""
    carried = {name: getattr(asked, name) for name in OF_CONFIGURATION}
    return NetworkConfig(id=identity, name=asked.name, driver="null", created=created, **carried)


def own_subnets(subnets: Sequence[Subnet]) -> list[Taken]:
    return [Taken(one.subnet, "this network") for one in subnets]


def _enabled(asked: Asked, version: int) -> bool:
    return asked.enable_ipv4 if version == 4 else asked.enable_ipv6


def _settle(asked: Asked, one: AskedSubnet) -> Subnet:
    """The subnet with its gateway. Raises WardianError where an address is asked for twice."""
    mode = asked.options.get(f"com.docker.network.bridge.gateway_mode_ipv{one.subnet.version}", "")
    gateway = one.gateway
    first, last = addresses.usable(one.subnet)
    if gateway is None and not (mode == "isolated" and asked.driver == "bridge"):
        gateway = addresses.gateway_of(one.subnet, one.ip_range)
    elif gateway is not None and not first <= int(gateway) <= last:
        raise refusals.invalid(f"failed to allocate gateway ({gateway}): Address already in use", str(gateway))
    used = {gateway}
    for name, address in one.auxiliary:
        if address in used or not first <= int(address) <= last:
            message = f"failed to allocate secondary ip address ({name}:{address}): Address already in use"
            raise refusals.invalid(message, name)
        used.add(address)
    return Subnet(one.subnet, gateway, one.ip_range, one.auxiliary)


def _link_of(asked: Asked, identity: str) -> str:
    named = asked.options.get("com.docker.network.bridge.name" if asked.driver == "bridge" else "parent", "")
    return named or _LINK_PREFIX[asked.driver] + identity[:12]


def _check_link(config: NetworkConfig, beside: Beside) -> None:
    """A bridge serves one network. One that is there already may be used, but not when others do: Docker's own has
    addresses that are not this network's."""
    if config.driver != "bridge":
        return
    there = [one.network for one in beside.host if one.link == config.link and not one.network.is_link_local]
    foreign = _foreign(config, there)
    if foreign is not None:
        raise WardianError(
            CONFLICT,
            f"the bridge {config.link} has {foreign}, which is not this network's",
            operation="create network",
            subject=config.link,
            hint="name another bridge, or this one's --subnet and --gateway",
        )
    for other in beside.networks:
        if other.driver == "bridge" and other.link == config.link:
            raise refusals.refused(
                f"cannot create network {config.id} ({config.link}): conflicts with network {other.id} "
                f"({other.link}): networks have same bridge name",
                config.link,
            )


def _foreign(config: NetworkConfig, there: Sequence[IPNetwork]) -> IPNetwork | None:
    """What a bridge has in place of this network's. One range of the network's own is enough, as for Docker, and a
    family that the network does not have is the host's. A router may announce IPv6 prefixes to any bridge: on one that
    has the network's IPv4 they stand beside the network's."""
    for version, enabled in ((4, config.enable_ipv4), (6, config.enable_ipv6)):
        ranges = [one for one in there if one.version == version] if enabled else []
        if any(_is_of(config, one) for one in ranges):
            return None
        if ranges:
            return ranges[0]
    return None


def _is_of(config: NetworkConfig, network: IPNetwork) -> bool:
    return any(
        one.subnet.version == network.version
        and one.subnet.overlaps(network)
        and one.subnet.prefixlen <= network.prefixlen
        for one in config.subnets
    )


def check_addresses(config: NetworkConfig, ipv4: str, ipv6: str) -> list[str]:
    """What is wrong with the static addresses that an endpoint asks for, in Docker's words; [] for nothing."""
    problems = []
    for text, version in ((ipv4, 4), (ipv6, 6)):
        if not text:
            continue
        asked_for = [one for one in config.subnets if not one.chosen or config.name == "bridge"]
        mine = [one for one in asked_for if one.subnet.version == version]
        if not mine:
            problems.append(
                "user specified IP address is supported only when connecting to networks with user configured subnets"
            )
        elif not any(_lies_in(text, one.subnet) for one in mine):
            problems.append(f"no configured subnet or ip-range contain the IP address {text}")
    return problems


def _lies_in(text: str, subnet: IPNetwork) -> bool:
    """No text that is no address does."""
    try:
        return ipaddress.ip_address(text) in subnet
    except ValueError:
        return False


def check_predefined(config: NetworkConfig, want: EndpointWant) -> list[str]:
    """What nobody may ask of a network that is always there: it chooses addresses, and nobody has a name on the default
    bridge. In Docker's words; [] for nothing."""
    problems = []
    if want.ipv4 or want.ipv6:
        problems.append("user specified IP address is supported on user defined networks only")
    if want.aliases and config.name == "bridge":
        problems.append("network-scoped alias is supported only for containers in user defined networks")
    if want.links and config.name == "bridge":
        problems.append("network-scoped links are supported only for containers in user defined networks")
    return problems
