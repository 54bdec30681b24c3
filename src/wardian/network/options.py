"""What a network's driver options may say. Pure; texts are Docker's, and a name that nobody knows is kept, as there."""

import re
from collections.abc import Callable, Mapping

from wardian.network import refusals
from wardian.network.values import GATEWAY_MODES, parse_address

BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
_BOOLEANS = ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")
# IFNAMSIZ is 16 with the terminating zero; a name also stands in nft's text and in paths of /proc/sys.
_LINK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
# with room for a number behind it
_LINK_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,11}")
# RFC 791 and linux/if_ether.h: the smallest and the largest MTU that a link takes; RFC 8200, 5 for IPv6
MTU_LEAST, MTU_LEAST6, MTU_MOST = 68, 1280, 65535
_MODES = {
    "macvlan_mode": ("macvlan mode", ("bridge", "private", "vepa", "passthru"), "'bridge' mode is the macvlan driver"),
    "ipvlan_mode": ("ipvlan mode", ("l2", "l3", "l3s"), "'l2' mode is the ipvlan driver"),
    "ipvlan_flag": ("ipvlan flag", ("bridge", "private", "vepa"), "'bridge' is the ipvlan driver"),
}


def _boolean(value: str) -> str:
    return "" if value in _BOOLEANS else f'strconv.ParseBool: parsing "{value}": invalid syntax'


def _address(value: str) -> str:
    try:
        parse_address(value)
    except ValueError:
        return "nil ip"
    return ""


def _address4(value: str) -> str:
    return _of_family(value, 4)


def _address6(value: str) -> str:
    return _of_family(value, 6)


def _of_family(value: str, version: int) -> str:
    """One that a packet can leave with."""
    problem = _address(value)
    if problem:
        return problem
    found = parse_address(value)
    if found.version != version:
        return f"no IPv{version} address"
    return "no host's address" if found.is_unspecified or found.is_multicast or found.is_loopback else ""


def _gateway_mode(value: str) -> str:
    return "" if value in ("", *GATEWAY_MODES) else f"unknown gateway mode {value}"


def _number(value: str) -> str:
    digits = value[1:] if value[:1] in ("+", "-") else value
    if digits.isascii() and digits.isdigit():
        return ""
    return f'strconv.Atoi: parsing "{value}": invalid syntax'


# what is wrong with an option's value, "" for nothing
_BRIDGE_VALUES: Mapping[str, Callable[[str], str]] = {
    BRIDGE + "enable_icc": _boolean,
    BRIDGE + "enable_ip_masquerade": _boolean,
    BRIDGE + "inhibit_ipv4": _boolean,
    BRIDGE + "host_binding_ipv4": _address,
    "com.docker.network.host_ipv4": _address4,
    "com.docker.network.host_ipv6": _address6,
    BRIDGE + "gateway_mode_ipv4": _gateway_mode,
    BRIDGE + "gateway_mode_ipv6": _gateway_mode,
    MTU: _number,
}


def check_options(driver: str, options: Mapping[str, str], internal: bool, ipv6: bool) -> None:
    """Raises WardianError for a value that means nothing."""
    if driver == "bridge":
        _check_bridge(options, internal)
    for name, value in options.items():
        what, known, default = _MODES.get(name, ("", (), ""))
        if what.startswith(driver) and value not in ("", *known):
            raise refusals.invalid(f"requested {what} '{value}' is not valid, {default} default", name)
    _check_mtu(options, MTU_LEAST6 if ipv6 else MTU_LEAST)
    prefix = options.get("com.docker.network.container_iface_prefix", "eth")
    if not _LINK_PREFIX.fullmatch(prefix):
        raise refusals.invalid(f"invalid prefix of interfaces: {prefix!r}", "com.docker.network.container_iface_prefix")


def _check_bridge(options: Mapping[str, str], internal: bool) -> None:
    for name, value in options.items():
        problem = _BRIDGE_VALUES[name](value) if name in _BRIDGE_VALUES else ""
        if problem:
            raise refusals.invalid(f"failed to parse {name} value: {value} ({problem})", name)
    for family in ("4", "6"):
        if options.get(f"{BRIDGE}gateway_mode_ipv{family}") == "isolated" and not internal:
            raise refusals.invalid("gateway mode 'isolated' can only be used for an internal network", "gateway_mode")
    link = options.get(BRIDGE + "name", "")
    if link and (not _LINK_NAME.fullmatch(link) or link in ("all", "default")):
        raise refusals.invalid(f"invalid bridge name: {link!r} is no name of a link", BRIDGE + "name")


def _check_mtu(options: Mapping[str, str], least: int) -> None:
    text = options.get(MTU, "")
    if not text:
        return
    if _number(text):
        raise refusals.invalid(f"failed to parse {MTU} value: {text} ({_number(text)})", MTU)
    if int(text) < 0:
        raise refusals.invalid(f"invalid MTU number: {text}", MTU)
    if int(text) and not least <= int(text) <= MTU_MOST:
        raise refusals.invalid(f"invalid MTU number: {text}: a link takes {least} to {MTU_MOST}", MTU)
