"""An endpoint's driver options (`--network name=…,driver-opt=…`): its link's name, and its sysctls. Pure."""

import re
from collections.abc import Mapping

from wardian.errors import INVALID, WardianError
from wardian.network.values import EndpointWant

IFNAME = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"
# dev_valid_name() of the kernel, and nothing that has a meaning in a path or in a shell's words
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
# docker's command line sends a --network's driver-opt in lower case
_SYSCTL = re.compile(r"net\.(ipv4|ipv6|mpls)\.(?:([a-z]+)\.)?(?i:IFNAME)\.([a-z0-9_]+)")
# directories of /proc/sys/net/*/conf that are no link
_NO_LINKS = ("lo", "all", "default")


def check_endpoint_options(want: EndpointWant) -> None:
    """Raises INVALID for a name that no link can have, and for sysctls that are not the interface's."""
    name = want.driver_opts.get(IFNAME, "")
    if name and (not _INTERFACE.fullmatch(name) or name in _NO_LINKS):
        raise WardianError(INVALID, f"invalid interface name: {name!r}", operation="endpoint", subject=IFNAME)
    interface_sysctls(want.driver_opts, "IFNAME")


def interface_sysctls(driver_opts: Mapping[str, str], interface: str) -> list[tuple[str, str]]:
    """`net.ipv4.conf.IFNAME.log_martians=1,…` → (path below /proc/sys/net, value) for `interface`. Raises INVALID."""
    asked = (one.strip() for one in driver_opts.get(SYSCTLS, "").split(","))
    return [_interface_sysctl(one, interface) for one in asked if one]


def _interface_sysctl(text: str, interface: str) -> tuple[str, str]:
    """Only what belongs to the interface, by a grammar: the name becomes a path."""
    name, equals, value = text.partition("=")
    found = _SYSCTL.fullmatch(name)
    if found is None or not equals:
        raise WardianError(
            INVALID,
            f"invalid interface sysctl '{text}': it must be net.X.Y.IFNAME.Z=VALUE, IFNAME being the interface",
            operation="endpoint",
            subject=name,
        )
    return "/".join((found[1], *([found[2]] if found[2] else []), interface, found[3])), value
