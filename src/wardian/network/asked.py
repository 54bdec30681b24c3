"""What a body of POST /networks/create asks for, checked for itself; checks and texts are Docker's. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from wardian.errors import NOT_FOUND, NOT_IMPLEMENTED, WardianError
from wardian.network import refusals, shapes
from wardian.network.asked_subnets import AskedSubnet, read_subnets
from wardian.network.options import check_options

PREDEFINED = ("bridge", "host", "none")
_FORBIDDEN_NAMES = (*PREDEFINED, "default")
_SINGLE_DRIVERS = ("host", "null")
_DRIVERS = ("bridge", "macvlan", "ipvlan")
_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)


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
    name = shapes.text(body, "Name")
    _check_name(name)
    driver = shapes.text(body, "Driver") or "bridge"
    ipam = shapes.mapping(body, "IPAM")
    subnets = tuple(read_subnets(shapes.configs(ipam)))
    _check_kind(body, driver)
    options = shapes.texts(body, "Options")
    asked = Asked(
        name=name,
        driver=driver,
        internal=shapes.flag(body, "Internal", False),
        attachable=shapes.flag(body, "Attachable", False),
        enable_ipv4=shapes.flag(body, "EnableIPv4", shapes.switch(options, "com.docker.network.enable_ipv4", True)),
        enable_ipv6=shapes.flag(body, "EnableIPv6", shapes.switch(options, "com.docker.network.enable_ipv6", False)),
        options=options,
        labels=shapes.texts(body, "Labels"),
        ipam_driver=shapes.text(ipam, "Driver", "IPAM.") or "default",
        ipam_options=shapes.texts(ipam, "Options", "IPAM."),
        subnets=subnets,
    )
    _check_families(asked)
    check_options(driver, options, asked.internal, asked.enable_ipv6)
    return asked


def _check_name(name: str) -> None:
    if not name.strip():
        raise refusals.invalid("invalid name: name is empty")
    if name in _FORBIDDEN_NAMES:
        raise refusals.refused(f"operation is not permitted on predefined {name} network", name)


def _check_kind(body: Mapping[str, Any], driver: str) -> None:
    """What kind of network it is to be: ours are local, of three drivers."""
    if shapes.flag(body, "Ingress", False):
        raise refusals.refused("Ingress network can only be global scope network")
    if shapes.text(body, "Scope") == "swarm":
        raise refusals.refused("cannot create a swarm scoped network when swarm is not active")
    if shapes.flag(body, "ConfigOnly", False) or shapes.text(
        shapes.mapping(body, "ConfigFrom"), "Network", "ConfigFrom."
    ):
        message = "a network that is only a configuration for others is not built"
        raise WardianError(NOT_IMPLEMENTED, message, operation="create network", subject="ConfigOnly")
    if driver in _SINGLE_DRIVERS:
        raise refusals.refused(f'only one instance of "{driver}" network is allowed', driver)
    if driver == "overlay":
        raise refusals.refused(_SWARM, driver)
    ipam = shapes.text(shapes.mapping(body, "IPAM"), "Driver", "IPAM.")
    for plugin in (driver if driver not in _DRIVERS else "", ipam if ipam not in ("", "default", "null") else ""):
        if plugin:
            raise WardianError(NOT_FOUND, f'plugin "{plugin}" not found', operation="create network", subject=plugin)
    if ipam == "null" and driver == "bridge":
        raise refusals.invalid("ipv4 pool is empty")
    if ipam == "null":
        message = "networks without addresses (IPAM driver null) are not built"
        raise WardianError(NOT_IMPLEMENTED, message, operation="create network", subject="IPAM.Driver")


def _check_families(asked: Asked) -> None:
    if not (asked.enable_ipv4 or asked.enable_ipv6):
        raise refusals.invalid("IPv4 or IPv6 must be enabled")
    if asked.driver == "bridge":
        for version in (4, 6):
            if sum(one.subnet.version == version for one in asked.subnets) > 1:
                raise refusals.refused("bridge driver doesn't support multiple subnets")
