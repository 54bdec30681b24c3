"""A body of POST /networks/create → a NetworkConfig, in two steps, both pure; checks and texts are Docker's.

asked = read_network(body)                          what is asked, checked for itself
config, warnings = complete(asked, …)               subnets and gateways chosen beside all that is taken
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.errors import CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, NOT_IMPLEMENTED, WardianError
from wardian.network import addresses
from wardian.network.addresses import Pool, Taken
from wardian.network.options import check_options
from wardian.network.values import EndpointWant, IPAddress, IPNetwork, NetworkConfig, Subnet

PREDEFINED = ("bridge", "host", "none")
_FORBIDDEN_NAMES = (*PREDEFINED, "default")
_SINGLE_DRIVERS = ("host", "null")
_DRIVERS = ("bridge", "macvlan", "ipvlan")
_OVERLAPS = "invalid pool request: Pool overlaps with other one on this address space"
_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
# prefix of the links that are made for a network that has none of the host's, as Docker names them
_LINK_PREFIX = {"bridge": "br-", "macvlan": "dm-", "ipvlan": "di-"}


class AskedSubnet(NamedTuple):
    subnet: IPNetwork
    ip_range: IPNetwork | None
    gateway: IPAddress | None
    auxiliary: tuple[tuple[str, IPAddress], ...]


class Asked(NamedTuple):
    """A create body that holds for itself. `subnets`: those that were asked for, maybe none."""

    name: str
    driver: str
    internal: bool
    attachable: bool
    enable_ipv4: bool
    enable_ipv6: bool
    options: Mapping[str, str]
    labels: Mapping[str, str]
    ipam_driver: str
    ipam_options: Mapping[str, str]
    subnets: tuple[AskedSubnet, ...]


def read_network(body: Mapping[str, Any]) -> Asked:
    """Raises WardianError."""
    name = _text(body, "Name")
    _check_name(name)
    driver = _text(body, "Driver") or "bridge"
    ipam = _object(body, "IPAM")
    subnets = tuple(_read_subnets(_configs(ipam)))
    _check_kind(body, driver)
    options = _texts(body, "Options")
    asked = Asked(
        name=name,
        driver=driver,
        internal=_flag(body, "Internal", False),
        attachable=_flag(body, "Attachable", False),
        enable_ipv4=_flag(body, "EnableIPv4", _switch(options, "com.docker.network.enable_ipv4", True)),
        enable_ipv6=_flag(body, "EnableIPv6", _switch(options, "com.docker.network.enable_ipv6", False)),
        options=options,
        labels=_texts(body, "Labels"),
        ipam_driver=_text(ipam, "Driver", "IPAM.") or "default",
        ipam_options=_texts(ipam, "Options", "IPAM."),
        subnets=subnets,
    )
    _check_families(asked)
    check_options(driver, options, asked.internal, asked.enable_ipv6)
    return asked


def _invalid(message: str, subject: str = "") -> WardianError:
    return WardianError(INVALID, message, operation="create network", subject=subject)


def _refused(message: str, subject: str = "") -> WardianError:
    return WardianError(FORBIDDEN, message, operation="create network", subject=subject)


def _check_name(name: str) -> None:
    if not name.strip():
        raise _invalid("invalid name: name is empty")
    if name in _FORBIDDEN_NAMES:
        raise _refused(f"operation is not permitted on predefined {name} network", name)


def _check_kind(body: Mapping[str, Any], driver: str) -> None:
    """What kind of network it is to be: ours are local, of three drivers."""
    if _flag(body, "Ingress", False):
        raise _refused("Ingress network can only be global scope network")
    if _text(body, "Scope") == "swarm":
        raise _refused("cannot create a swarm scoped network when swarm is not active")
    if _flag(body, "ConfigOnly", False) or _text(_object(body, "ConfigFrom"), "Network", "ConfigFrom."):
        message = "a network that is only a configuration for others is not built"
        raise WardianError(NOT_IMPLEMENTED, message, operation="create network", subject="ConfigOnly")
    if driver in _SINGLE_DRIVERS:
        raise _refused(f'only one instance of "{driver}" network is allowed', driver)
    if driver == "overlay":
        raise _refused(_SWARM, driver)
    ipam = _text(_object(body, "IPAM"), "Driver", "IPAM.")
    for plugin in (driver if driver not in _DRIVERS else "", ipam if ipam not in ("", "default", "null") else ""):
        if plugin:
            raise WardianError(NOT_FOUND, f'plugin "{plugin}" not found', operation="create network", subject=plugin)
    if ipam == "null" and driver == "bridge":
        raise _invalid("ipv4 pool is empty")
    if ipam == "null":
        message = "networks without addresses (IPAM driver null) are not built"
        raise WardianError(NOT_IMPLEMENTED, message, operation="create network", subject="IPAM.Driver")


def _check_families(asked: Asked) -> None:
    if not (asked.enable_ipv4 or asked.enable_ipv6):
        raise _invalid("IPv4 or IPv6 must be enabled")
    if asked.driver == "bridge":
        for version in (4, 6):
            if sum(one.subnet.version == version for one in asked.subnets) > 1:
                raise _refused("bridge driver doesn't support multiple subnets")


# JSON shapes, with the words of Go's decoder


def _kind(value: object) -> str:
    kinds = ((bool, "bool"), (int, "number"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "value")


def _misshapen(value: object, field: str, wanted: str) -> WardianError:
    return _invalid(
        f"invalid JSON: json: cannot unmarshal {_kind(value)} into Go struct field CreateRequest.{field} "
        f"of type {wanted}",
        field,
    )


def _text(body: Mapping[str, Any], field: str, path: str = "") -> str:
    value = body.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _misshapen(value, path + field, "string")
    return value


def _flag(body: Mapping[str, Any], field: str, default: bool) -> bool:
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _misshapen(value, field, "bool")
    return value


def _object(body: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = body.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _misshapen(value, field, f"network.{field}")
    return value


def _texts(body: Mapping[str, Any], field: str, path: str = "") -> dict[str, str]:
    value = body.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _misshapen(value, path + field, "map[string]string")
    for one in value.values():
        if not isinstance(one, str):
            raise _misshapen(one, path + field, "string")
    return dict(value)


def _switch(options: Mapping[str, str], name: str, default: bool) -> bool:
    """A driver option that stands for a field of the body."""
    text = options.get(name)
    if text is None:
        return default
    if text not in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"):
        raise _invalid(f'driver-opt "{name}" is not a valid bool', name)
    return text in ("1", "t", "T", "true", "TRUE", "True")


def _configs(ipam: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    configs = ipam.get("Config") or []
    if not isinstance(configs, list):
        raise _misshapen(configs, "IPAM.Config", "[]network.IPAMConfig")
    for place, one in enumerate(configs):
        if not isinstance(one, dict):
            raise _misshapen(one, f"IPAM.Config.{place}", "network.IPAMConfig")
    return configs


# subnets


def _read_subnets(configs: list[Mapping[str, Any]]) -> Iterator[AskedSubnet]:
    """All that is wrong with them is told at once, as Docker tells it."""
    problems: list[str] = []
    found = [_read_subnet(one, problems) for one in configs]
    if problems:
        text = problems[0] if len(problems) == 1 else "\n".join(f"* {one}" for one in problems)
        raise _invalid(f"invalid network config:\n{text}", "IPAM.Config")
    return (one for one in found if one is not None)


def _read_subnet(config: Mapping[str, Any], problems: list[str]) -> AskedSubnet | None:
    text = _text(config, "Subnet", "IPAM.Config.")
    try:
        subnet = _block(text)
    except ValueError:
        problems.append(f"invalid subnet {text}: invalid CIDR block notation")
        return None
    if _address(text.partition("/")[0]) != subnet.network_address:
        problems.append(f"invalid subnet {text}: it should be {subnet}")
    elif not _for_hosts(subnet):
        problems.append(f"invalid subnet {text}: its addresses are no hosts'")
    ip_range = _read_range(_text(config, "IPRange", "IPAM.Config."), subnet, text, problems)
    gateway = _read_gateway(_text(config, "Gateway", "IPAM.Config."), subnet, text, problems)
    auxiliary = []
    for name, value in _texts(config, "AuxiliaryAddresses", "IPAM.Config.").items():
        address = _inside(value, subnet, text, f"invalid auxiliary address {name}", problems)
        if address is not None:
            auxiliary.append((name, address))
    return AskedSubnet(subnet, ip_range, gateway, tuple(auxiliary))


def _block(text: str) -> IPNetwork:
    """A CIDR block, its host's bits cut off. ValueError for what is none, a bare address too."""
    if "/" not in text or not text.rpartition("/")[2].isdigit():
        raise ValueError(text)
    return ipaddress.ip_network(text, strict=False)


def _for_hosts(subnet: IPNetwork) -> bool:
    """Not for loopback, multicast, IPv4 in IPv6, or all the world: Docker takes those, and they serve nobody."""
    first = subnet.network_address
    mapped = isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped is not None
    return bool(subnet.prefixlen) and not (first.is_loopback or first.is_multicast or first.is_unspecified or mapped)


def _address(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text)
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
    elif found.prefixlen < subnet.prefixlen:
        problems.append(f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {shown}")
    elif _address(text.partition("/")[0]) != found.network_address:
        problems.append(f"invalid ip-range {text}: it should be {found}")
    elif found.network_address not in subnet:
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


# completing


class Beside(NamedTuple):
    """What a new network must keep off. `networks` are this engine's, `host` what the host's kernel has."""

    networks: Sequence[NetworkConfig]
    host: Sequence[Taken]
    pools: Sequence[Pool]


def own_ranges(networks: Sequence[NetworkConfig]) -> list[Taken]:
    return [Taken(one.subnet, f"the network {network.name}") for network in networks for one in network.subnets]


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
            raise _refused(_OVERLAPS, str(one.subnet))
        if asked.driver == "bridge" and (blocker := addresses.conflict(one.subnet, beside.host)):
            warnings.append(f"the subnet {one.subnet} overlaps {blocker.network}, {blocker.by}")
        subnets.append(_settle(asked, one))
    taken = [*own, *own_subnets(subnets), *beside.host]
    for version in (4, 6):
        if _enabled(asked, version) and not any(one.subnet.version == version for one in subnets):
            chosen = addresses.choose_subnet(taken, beside.pools, version)
            subnets.append(_settle(asked, AskedSubnet(chosen, None, None, ()))._replace(chosen=True))
    config = NetworkConfig(
        id=identity,
        name=asked.name,
        driver=asked.driver,
        created=created,
        subnets=tuple(subnets),
        internal=asked.internal,
        attachable=asked.attachable,
        enable_ipv4=asked.enable_ipv4,
        enable_ipv6=asked.enable_ipv6,
        options=asked.options,
        labels=asked.labels,
        ipam_driver=asked.ipam_driver,
        ipam_options=asked.ipam_options,
        link=_link_of(asked, identity),
    )
    _check_link(config, beside)
    return config, warnings


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
        raise _invalid(f"failed to allocate gateway ({gateway}): Address already in use", str(gateway))
    used = {gateway}
    for name, address in one.auxiliary:
        if address in used or not first <= int(address) <= last:
            message = f"failed to allocate secondary ip address ({name}:{address}): Address already in use"
            raise _invalid(message, name)
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
    for one in beside.host:
        if one.link == config.link and not one.network.is_link_local and not _is_of(config, one.network):
            raise WardianError(
                CONFLICT,
                f"the bridge {config.link} has {one.network}, which is not this network's",
                operation="create network",
                subject=config.link,
                hint="name another bridge, or this one's --subnet and --gateway",
            )
    for other in beside.networks:
        if other.driver == "bridge" and other.link == config.link:
            raise _refused(
                f"cannot create network {config.id} ({config.link}): conflicts with network {other.id} "
                f"({other.link}): networks have same bridge name",
                config.link,
            )


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
        mine = [one for one in config.subnets if one.subnet.version == version and not one.chosen]
        if not mine:
            problems.append(
                "user specified IP address is supported only when connecting to networks with user configured subnets"
            )
        elif not any(ipaddress.ip_address(text) in one.subnet for one in mine):
            problems.append(f"no configured subnet or ip-range contain the IP address {text}")
    return problems


def check_default_bridge(want: EndpointWant) -> None:
    """On the default bridge the network chooses addresses, and nobody has a name. Raises INVALID in Docker's words."""
    if want.ipv4 or want.ipv6:
        problem = "user specified IP address is supported on user defined networks only"
    elif want.aliases:
        problem = "network-scoped alias is supported only for containers in user defined networks"
    else:
        return
    raise WardianError(INVALID, f"invalid endpoint settings:\n{problem}", operation="endpoint", subject=want.network)
