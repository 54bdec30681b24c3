"""What `network create` and `network connect` ask for: flags → the bodies, as docker's CLI makes them. Pure."""

from __future__ import annotations

import ipaddress

from wardian.cli.command import Failure, path_name
from wardian.cli.pairs import pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.pflag import Parsed


def network_body(parsed: Parsed) -> dict[str, Any]:
    """The body for these flags and `NETWORK`. Raises Failure. A switch that was not given is left to the engine."""
    body: dict[str, Any] = {"Driver": parsed["driver"], "Scope": parsed["scope"]}
    for flag, field in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if flag in parsed.given:
            body[field] = parsed[flag]
    return {
        **body,
        "IPAM": {
            "Driver": parsed["ipam-driver"],
            "Options": pairs(parsed["ipam-opt"]),
            "Config": address_pools(
                parsed["subnet"], parsed["ip-range"], parsed["gateway"], pairs(parsed["aux-address"])
            ),
        },
        "Internal": parsed["internal"],
        "Attachable": parsed["attachable"],
        "Ingress": parsed["ingress"],
        "ConfigOnly": parsed["config-only"],
        "ConfigFrom": {"Network": parsed["config-from"]} if parsed["config-from"] else None,
        "Options": pairs(parsed["opt"]),
        "Labels": pairs(parsed["label"]),
        "Name": parsed.args[0],
    }


def address_pools(
    subnets: list[str], ranges: list[str], gateways: list[str], auxiliary: dict[str, str]
) -> list[dict[str, Any]]:
    """Each subnet with the range, the gateway and the auxiliary addresses that lie in it. Raises Failure."""
    if len(subnets) < max(len(ranges), len(gateways)):
        raise Failure("every ip-range or gateway must have a corresponding subnet")
    pools: dict[str, dict[str, Any]] = {}
    for subnet in subnets:
        for other in pools:
            if _holds(subnet, other) or _holds(other, subnet):
                raise Failure("multiple overlapping subnet configuration is not supported")
        pools[subnet] = {"Subnet": subnet}
    for text in ranges:
        _cidr(text)
    _place(pools, ranges, "IPRange", "range", "on")
    _place(pools, gateways, "Gateway", "gateway", "for")
    for name, address in auxiliary.items():
        for pool in _matching(pools, address, "aux-address"):
            pool.setdefault("AuxiliaryAddresses", {})[name] = address
    return list(pools.values())


def _place(pools: dict[str, dict[str, Any]], values: list[str], field: str, word: str, preposition: str) -> None:
    """Writes each value into the pool that holds it; two in one are refused."""
    for value in values:
        for pool in _matching(pools, value, word):
            if field in pool:
                both, where = f"({value}, {pool[field]})", f"{preposition} the same subnet ({pool['Subnet']})"
                raise Failure(f"cannot configure multiple {word}s {both} {where}")
            pool[field] = value


def _matching(pools: dict[str, dict[str, Any]], text: str, word: str) -> list[dict[str, Any]]:
    found = [pool for subnet, pool in pools.items() if _holds(subnet, text)]
    if not found:
        raise Failure(f"no matching subnet for {word} {text}")
    return found


def _holds(subnet: str, text: str) -> bool:
    """Whether an address, or the address of a CIDR text, lies in `subnet`. Raises Failure when the subnet is none."""
    try:
        network = _cidr(subnet)
    except Failure as failure:
        raise Failure(f"invalid subnet: {failure.message}") from None
    if "/" in text:
        _cidr(text)
    try:
        return ipaddress.ip_address(text.partition("/")[0]) in network
    except ValueError:
        return False


def _cidr(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Go's ParseCIDR: ADDRESS/LENGTH, the length a number."""
    address, slash, length = text.partition("/")
    try:
        if not slash or not (length.isascii() and length.isdigit()):
            raise ValueError
        return ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        raise Failure(f"invalid CIDR address: {text}") from None


def connection_body(parsed: Parsed) -> dict[str, Any]:
    """The body of POST /networks/NETWORK/connect for these flags and `NETWORK CONTAINER`. Raises Failure."""
    from wardian.cli.endpoints import settings

    options = {}
    for text in parsed["driver-opt"]:
        name, equals, value = text.partition("=")
        if not equals:
            raise Failure("invalid key/value pair format in driver options")
        options[name.strip()] = value.strip()
    endpoint = settings(
        {
            "IPv4Address": parsed["ip"],
            "IPv6Address": parsed["ip6"],
            "LinkLocalIPs": parsed["link-local-ip"],
            "Aliases": parsed["alias"],
            "Links": parsed["link"] or None,
            "DriverOpts": options,
            "GwPriority": parsed["gw-priority"],
        }
    )
    endpoint["IPAMConfig"] = endpoint["IPAMConfig"] or {}
    return {"Container": path_name(parsed.args[1]), "EndpointConfig": endpoint}
