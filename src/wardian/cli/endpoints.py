"""What a container's place on a network is asked to be: --network in both forms, and the flags of its first network.

`read_network` reads one flag; `endpoints` makes `NetworkingConfig.EndpointsConfig` of all of them; `settings` one
EndpointSettings of the API, with the zero values that docker's CLI sends.
"""

from __future__ import annotations

from wardian.cli.pflag import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wardian.cli.pflag import Parsed

_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_SINGLE = {"name": "Target", "ip": "IPv4Address", "ip6": "IPv6Address", "mac-address": "MacAddress"}
_SEVERAL = {"alias": "Aliases", "link-local-ip": "LinkLocalIPs"}
# Flag of the container → (field, what an error calls the field of the long form).
_OF_CONTAINER = {
    "network-alias": ("Aliases", "alias"),
    "ip": ("IPv4Address", "IPv4 address"),
    "ip6": ("IPv6Address", "IPv6 address"),
    "link-local-ip": ("LinkLocalIPs", "link-local IP addresses"),
    "mac-address": ("MacAddress", "MAC address"),
}


def read_network(text: str) -> dict[str, Any]:
    """--network NAME, or name=NAME,alias=…,ip=… → what its endpoint is to be; "Target" is the network.

    The long form is one that has a word on both sides of an equals sign; docker lowers all of it. Raises ValueError.
    """
    if not _is_long(text):
        return {"Target": text}
    from wardian.cli.fields import split_fields

    network: dict[str, Any] = {"Target": ""}
    for field in split_fields(text.lower()):
        key, equals, value = field.partition("=")
        if not equals or not key:
            raise ValueError(f"invalid field {field}")
        _network_field(network, key.strip(), value.strip())
    if not network["Target"]:
        raise ValueError("network name/id is not specified")
    return network


def _is_long(text: str) -> bool:
    r"""Go's regexp \w+=\w+ anywhere in it."""
    letters = [letter == "_" or (letter.isascii() and letter.isalnum()) for letter in text]
    return any(letters[at - 1 : at] == [True] == letters[at + 1 : at + 2] for at in range(len(text)) if text[at] == "=")


def _network_field(network: dict[str, Any], key: str, value: str) -> None:
    if key in _SINGLE:
        network[_SINGLE[key]] = value
    elif key in _SEVERAL:
        network.setdefault(_SEVERAL[key], []).append(value)
    elif key == "driver-opt":
        name, equals, text = value.partition("=")
        if not equals:
            raise ValueError("invalid key value pair format in driver options")
        network.setdefault("DriverOpts", {})[name.strip()] = text.strip()
    elif key == "gw-priority":
        try:
            network["GwPriority"] = int(value)
        except ValueError:
            raise ValueError(f"invalid gw-priority ({value}): invalid syntax") from None
    else:
        raise ValueError(f"invalid field key {key}")


def is_user_defined(name: str) -> bool:
    """Whether a network mode names a network that somebody created."""
    return name not in ("default", "bridge", "host", "none") and not name.startswith("container:")


def endpoints(parsed: Parsed) -> dict[str, Any]:
    """`EndpointsConfig` for --network and the flags of a container that are about its first network.

    One network for which nothing is asked is left out: the engine takes it from the network mode. Raises ValueError.
    """
    asked = parsed["network"]
    found: dict[str, Any] = {}
    for number, network in enumerate(asked or [{"Target": "default"}]):
        name = network["Target"]
        if number == 0:
            network = _with_container_flags(network, parsed)
        _check(network)
        if name in found:
            raise ValueError(f"network {go_quote(name)} is specified multiple times")
        if len(asked) == 1 and not any(value for key, value in network.items() if key != "Target"):
            continue
        found[name] = settings(network)
    if len({is_user_defined(network["Target"]) for network in asked}) > 1:
        raise ValueError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    return found


def _with_container_flags(network: Mapping[str, Any], parsed: Parsed) -> dict[str, Any]:
    merged = dict(network)
    for flag, (field, words) in _OF_CONTAINER.items():
        value = parsed[flag]
        if value and merged.get(field):
            raise ValueError(f"conflicting options: cannot specify both --{flag} and per-network {words}")
        if value:
            merged[field] = value
    if parsed["link"] and is_user_defined(merged["Target"]):  # of the default bridge, a link is the container's own
        merged["Links"] = list(parsed["link"])
    return merged


def _check(network: Mapping[str, Any]) -> None:
    if not network["Target"].strip():
        raise ValueError("no name set for network")
    if network.get("Aliases") and not is_user_defined(network["Target"]):
        raise ValueError("network-scoped aliases are only supported for user-defined networks")
    mac = network.get("MacAddress")
    if mac and not is_hardware_address(mac):
        raise ValueError(f"{mac} is not a valid mac address")


def is_hardware_address(text: str) -> bool:
    """Whether Go's ParseMAC takes it: 6, 8 or 20 bytes, with colons, dashes or, in fours, dots."""
    if "." in text:
        parts, width, count = text.split("."), 4, (3, 4, 10)
    else:
        parts, width, count = text.split("-" if "-" in text else ":"), 2, (6, 8, 20)
    return len(parts) in count and all(len(part) == width and not set(part) - _HEXADECIMAL for part in parts)


def settings(network: Mapping[str, Any]) -> dict[str, Any]:
    """One EndpointSettings: what is asked, and zero values for what the engine answers."""
    ipam = {name: network[name] for name in ("IPv4Address", "IPv6Address", "LinkLocalIPs") if network.get(name)} or None
    return {
        "IPAMConfig": ipam,
        "Links": network.get("Links"),
        "Aliases": network.get("Aliases"),
        "MacAddress": network.get("MacAddress", ""),
        "DriverOpts": network.get("DriverOpts"),
        "GwPriority": network.get("GwPriority", 0),
        **dict.fromkeys(("NetworkID", "EndpointID", "Gateway", "IPAddress", "IPv6Gateway", "GlobalIPv6Address"), ""),
        **dict.fromkeys(("IPPrefixLen", "GlobalIPv6PrefixLen"), 0),
        "DNSNames": None,
    }
