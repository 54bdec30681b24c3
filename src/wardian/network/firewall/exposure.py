"""What a host's own firewall does not keep from others, though its owner may think so.

A published port is translated before any filter, and then forwarded: rules for what comes in (ufw's, firewalld's zones,
a chain at the hook input that drops) never see it. This is so with Docker too; here it is said.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from wardian.network.values import PortWant


def walls(listed: list[dict[str, Any]]) -> tuple[str, ...]:
    """The firewalls of this host that filter what comes in, from the answer to `list chains`, by a person's names."""
    found: dict[str, None] = {}
    for entry in listed:
        chain = entry.get("chain", {})
        if chain.get("name", "").startswith("ufw-user-input") or chain.get("name", "").startswith("ufw6-user-input"):
            found["ufw"] = None
        elif chain.get("table") == "firewalld":
            found["firewalld"] = None
    for entry in listed:
        chain = entry.get("chain", {})
        is_base = chain.get("hook") == "input" and chain.get("policy") == "drop"
        # ufw's own policy stands in iptables' INPUT, and so does anybody's who has no ufw.
        if is_base and chain.get("family") in ("ip", "ip6", "inet") and "ufw" not in found:
            found[f"the chain {chain['family']} {chain['table']} {chain['name']}"] = None
    return tuple(found)


def exposures(ports: Sequence[PortWant], standing: Sequence[str], forwards_judged: bool) -> list[str]:
    """One sentence for each port which, published so, other machines reach despite these firewalls.

    `forwards_judged`: what is forwarded is judged by a chain of theirs, into which no rule of ours was put.
    """
    if not standing:
        return []
    sentence = _judged if forwards_judged else _exposed
    seen = {(port.protocol, port.port): port for port in reversed(ports) if not _is_loopback(port.host_ip)}
    return [sentence(port, " and ".join(standing)) for port in reversed(seen.values())]


def _is_loopback(host_ip: str) -> bool:
    try:
        return ipaddress.ip_address(host_ip).is_loopback
    except ValueError:
        return False  # "": all addresses


def _called(port: PortWant) -> str:
    """The host's port where it is known before it is taken, else the container's."""
    if port.first and port.first == port.last:
        return f"port {port.first}/{port.protocol}"
    return f"the port published for {port.port}/{port.protocol}"


def _exposed(port: PortWant, standing: str) -> str:
    return (
        f"other machines reach {_called(port)} despite {standing}: rules for incoming traffic do not see what is "
        "forwarded to containers; publish on 127.0.0.1 to keep others out, or let the rules for forwarded traffic "
        "decide: wardian serve --respect-host-firewall"
    )


def _judged(port: PortWant, standing: str) -> str:
    hint = f" (ufw route allow proto {port.protocol} to any port {port.port})" if "ufw" in standing else ""
    return (
        f"other machines reach {_called(port)} only when {standing} lets what is forwarded to the container pass"
        f"{hint}: --respect-host-firewall"
    )
