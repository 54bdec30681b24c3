"""IPv4 and IPv6 in the rules: which subnet, address and gateway mode belongs to which."""

import ipaddress
import re

from wardian.errors import INVALID, WardianError
from wardian.network.values import NetworkRules, PortRule

FAMILIES = (4, 6)
ANY = {"0.0.0.0": 4, "::": 6}
# What dev_valid_name() of the kernel allows is more; these names stand in the text of nft and iptables, where a quote
# ends a string and `*` or `+` is a pattern.
_LINK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}")
PROTOCOLS = ("tcp", "udp", "sctp")


def is_link(name: str) -> bool:
    """Whether the name can stand in the text of rules."""
    return _LINK.fullmatch(name) is not None


def check_link(name: str) -> str:
    if not is_link(name):
        raise WardianError(INVALID, f"invalid name of a link: {name!r}", operation="make firewall rules", subject=name)
    return name


def subnets(network: NetworkRules, version: int) -> list[str]:
    """The network's subnets of one family, as nft writes them."""
    found = (ipaddress.ip_network(text, strict=False) for text in network.subnets)
    return [str(one) for one in found if one.version == version]


def mode(network: NetworkRules, version: int) -> str:
    return network.mode4 if version == 4 else network.mode6


def reaches_out(network: NetworkRules, version: int) -> bool:
    return not network.internal and bool(subnets(network, version))


def masqueraded(network: NetworkRules, version: int) -> list[str]:
    """The subnets whose packets leave with the host's address."""
    if network.internal or not network.masquerade or mode(network, version) in ("routed", "isolated"):
        return []
    return subnets(network, version)


def source(network: NetworkRules, version: int) -> str:
    """The host's address with which they do, where it is not that of the link; "" else."""
    return network.source4 if version == 4 else network.source6


def guarded(network: NetworkRules, version: int) -> list[str]:
    """The subnets to whose addresses nothing may come from a link that is not ours, and with whose addresses from no
    link but the network's. Where nothing is masqueraded, the world's answers do."""
    return subnets(network, version) if network.internal else _only_nat(network, version)


def _only_nat(network: NetworkRules, version: int) -> list[str]:
    return masqueraded(network, version) if mode(network, version) == "nat" else []


def family_of(port: PortRule) -> int:
    """Of the container's address; 0 when the host's address is of the other family: no rule can lead there."""
    there = ipaddress.ip_address(port.address).version
    here = ANY.get(port.host_ip) or ipaddress.ip_address(port.host_ip or "0.0.0.0").version
    return there if here == there else 0


def relayed_within(port: PortRule, network: NetworkRules | None) -> bool:
    """Whether members of the port's own network come to it by the supervisor's socket, not by a rule: where they do
    not reach each other. There is no relay for SCTP."""
    apart = network is not None and not network.icc
    return apart and port.protocol in ("tcp", "udp") and not is_loopback(port)


def is_loopback(port: PortRule) -> bool:
    return port.host_ip not in ANY and ipaddress.ip_address(port.host_ip or "0.0.0.0").is_loopback
