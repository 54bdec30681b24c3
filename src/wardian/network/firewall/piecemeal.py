"""All rules of an engine, without those that the kernel refuses: one bad network or port costs no other its rules.

The whole is one transaction, so one element that is refused (two networks' subnets that overlap, two ports in one
place, a row that nobody can read) refuses all. Then it is made part by part, and what is bad is left out and said.
"""

import logging
import struct
from collections.abc import Sequence

from wardian.errors import WardianError
from wardian.network.firewall.contract import Firewall
from wardian.network.values import NetworkRules, PortRule

log = logging.getLogger(__name__)

# By the kernel or its programs; an address that is none; a number that has no place in a message.
REFUSED = (WardianError, ValueError, struct.error)


def apply_what_can_be(firewall: Firewall, networks: Sequence[NetworkRules], ports: Sequence[PortRule]) -> set[str]:
    """The links of networks that stay closed. Raises WardianError when not even a table without networks and ports can
    be made."""
    try:
        firewall.apply(networks, ports)
    except REFUSED as error:
        log.warning("the firewall's rules were refused as a whole and are made one by one: %s", error)
        return {one.link for one in networks} - _apply_parts(firewall, networks, ports)
    return set()


def open_again(firewall: Firewall, rules: NetworkRules, ports: Sequence[PortRule]) -> None:
    """One of those that stayed closed, with the ports that lead there. Raises one of REFUSED."""
    firewall.add_network(rules)
    _add(firewall, ports)


def _apply_parts(firewall: Firewall, networks: Sequence[NetworkRules], ports: Sequence[PortRule]) -> set[str]:
    """No link is without rules meanwhile that will have some: all begin closed, and connections that stand go on."""
    standing = _closed(firewall, networks)
    opened: set[str] = set()
    for rules in networks:
        if rules.link in standing and _accepts(firewall, rules):
            standing[rules.link] = rules
            opened.add(rules.link)
    kept = _add(firewall, [port for port in ports if port.link in opened])
    firewall.apply(list(standing.values()), kept)  # iptables keeps parts of what it refused
    return opened


def _closed(firewall: Firewall, networks: Sequence[NetworkRules]) -> dict[str, NetworkRules]:
    """All networks made with nothing that goes in or out, by link, without those whose link's name cannot be said."""
    closed = {one.link: NetworkRules(one.link, (), internal=True, icc=one.icc) for one in networks}
    try:
        firewall.apply(list(closed.values()), ())
    except REFUSED:
        firewall.apply((), ())
        return {link: rules for link, rules in closed.items() if _accepts(firewall, rules)}
    return closed


def _add(firewall: Firewall, ports: Sequence[PortRule]) -> list[PortRule]:
    """Those that are accepted, found by halves: of thousands few are bad."""
    if not ports:
        return []
    try:
        firewall.add_ports(ports)
    except REFUSED as error:
        if len(ports) == 1:
            log.error("a port is left out of the firewall: %s: %s", ports[0], error)
            return []
        half = len(ports) // 2
        return _add(firewall, ports[:half]) + _add(firewall, ports[half:])
    return list(ports)


def _accepts(firewall: Firewall, rules: NetworkRules) -> bool:
    try:
        firewall.add_network(rules)
    except REFUSED as error:
        log.error("the rules of the network on %s are left out of the firewall: %s", rules.link, error)
        return False
    return True
