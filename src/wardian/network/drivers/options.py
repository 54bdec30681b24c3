"""The options of networks (`docker network create -o`): which ones a driver knows, and what their values may be.

Docker ignores an option that it does not know; here it is refused, so that a misspelt one is not believed to work.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping

from wardian.errors import INVALID, WardianError
from wardian.network.values import GATEWAY_MODES, NetworkConfig

BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
PREFIX = "com.docker.network.container_iface_prefix"
# IFNAMSIZ is 16 with the terminating zero; the name also stands in nft's text.
LINK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_BOOLEANS = ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False")
_SMALLEST_MTU = {4: 68, 6: 1280}  # RFC 791, RFC 8200


def check(config: NetworkConfig, known: Mapping[str, Callable[[str], str]]) -> None:
    """Raises INVALID for an option that is not in `known`, or whose value its function has an objection to."""
    for name, value in config.options.items():
        if name not in known:
            raise refusal(
                f"unknown option {name} for the {config.driver} driver (it knows {', '.join(sorted(known))})", name
            )
        problem = known[name](value)
        if problem:
            raise refusal(f"invalid value {value!r} for option {name}: {problem}", name)


def refusal(text: str, subject: str = "") -> WardianError:
    return WardianError(INVALID, text, operation="create a network", subject=subject)


def boolean(text: str) -> str:
    return "" if text in _BOOLEANS or not text else "it must be true or false"


def mtu(text: str) -> str:
    return "" if text.isascii() and text.isdigit() and int(text) <= 65535 else "it must be a number up to 65535"


def check_mtu(config: NetworkConfig) -> None:
    """An MTU below what a family needs would take it away in silence."""
    least = max(_SMALLEST_MTU[subnet.subnet.version] for subnet in config.subnets) if config.subnets else 68
    if config.mtu and config.mtu < least:
        raise refusal(f"invalid MTU {config.mtu} for network {config.name}: its addresses need at least {least}", MTU)


def link_name(text: str) -> str:
    return "" if LINK_NAME.fullmatch(text) else "it must be up to 15 letters, digits, '_', '-' or '.'"


def interface_prefix(text: str) -> str:
    return "" if len(text) <= 12 and LINK_NAME.fullmatch(text) else "it must be up to 12 letters, digits, '_' or '-'"


def ipv4(text: str) -> str:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return "it must be an IPv4 address"
    return ""


def gateway_mode(text: str) -> str:
    return "" if text in GATEWAY_MODES else f"it must be one of {', '.join(GATEWAY_MODES)}"


def anything(text: str) -> str:
    return ""
