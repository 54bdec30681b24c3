"""What a body of POST /networks/create asks for, checked for itself; checks and texts are Docker's. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from wardian.errors import NOT_FOUND, NOT_IMPLEMENTED, WardianError
from wardian.network import refusals, shapes
from wardian.network.asked_subnets import AskedSubnet, read_subnets
from wardian.network.options import check_options
from wardian.network.values import NetworkConfig

PREDEFINED = ("bridge", "host", "none")
_FORBIDDEN_NAMES = (*PREDEFINED, "default")
_SINGLE_DRIVERS = ("host", "null")
_DRIVERS = ("bridge", "macvlan", "ipvlan")
# What a configuration says for the networks that are made of it, besides subnets: of Asked and of NetworkConfig.
OF_CONFIGURATION = ("enable_ipv4", "enable_ipv6", "options", "labels", "ipam_driver", "ipam_options")
_OF_ANOTHER = "are not supported if the network depends on a configuration network"
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
    config_only: bool = False
    config_from: str = ""


def read_network(body: Mapping[str, Any]) -> Asked:
    """What a body asks for. Raises WardianError. `check_network` looks at what is complete then: for one that is made
    of another's configuration that is later."""
    name = shapes.text(body, "Name")
    if name in _FORBIDDEN_NAMES:
        raise refusals.refused(f"operation is not permitted on predefined {name} network", name)
    driver = shapes.text(body, "Driver") or "bridge"
    ipam = shapes.mapping(body, "IPAM")
    subnets = tuple(read_subnets(shapes.configs(ipam)))
    if not name.strip():
        raise refusals.invalid("invalid name: name is empty")
    config_only = shapes.flag(body, "ConfigOnly", False)
    if config_only:
        _check_config_only(body)
    else:
        _check_kind(body, driver)
    options = shapes.texts(body, "Options")
    return Asked(
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
        config_only=config_only,
        config_from=shapes.text(shapes.mapping(body, "ConfigFrom"), "Network", "ConfigFrom."),
    )


def check_network(asked: Asked) -> None:
    """Whether its parts are for each other. Raises WardianError."""
    _check_families(asked)
    check_options(asked.driver, asked.options, asked.internal, asked.enable_ipv6)


def configured(asked: Asked, networks: Iterable[NetworkConfig]) -> Asked:
    """With what the network that it names for that says of subnets, options and labels (`--config-from`). What the
    body says of them is refused."""
    if not asked.config_from:
        return asked
    ipam = asked.ipam_driver != "default" or asked.ipam_options or asked.subnets
    if ipam or asked.labels or not asked.enable_ipv4 or asked.enable_ipv6:
        raise refusals.refused(f"user specified configurations {_OF_ANOTHER}", asked.name)
    if asked.options:
        raise refusals.refused(f"network driver options {_OF_ANOTHER}", asked.name)
    source = next((one for one in networks if one.name == asked.config_from and one.config_only), None)
    if source is None:
        message = f'configuration network "{asked.config_from}" does not exist'
        raise WardianError(NOT_FOUND, message, operation="create network", subject=asked.config_from)
    carried = {name: getattr(source, name) for name in OF_CONFIGURATION}
    subnets = tuple(AskedSubnet(one.subnet, one.ip_range, one.gateway, one.auxiliary) for one in source.subnets)
    return asked._replace(subnets=subnets, **carried)


def _check_config_only(body: Mapping[str, Any]) -> None:
    """What is true of a network, and of no configuration. Its driver and their options are not looked at: they are
    those of the networks that are made of it."""
    if any(shapes.flag(body, name, False) for name in ("Ingress", "Internal", "Attachable")) or body.get("Scope"):
        raise refusals.refused(
            "configuration network can only contain network specific fields. Network operator fields like "
            "[ ingress | internal | attachable | scope ] are not supported."
        )
    if shapes.text(shapes.mapping(body, "ConfigFrom"), "Network", "ConfigFrom."):
        raise refusals.refused("a configuration network cannot depend on another configuration network")


def _check_kind(body: Mapping[str, Any], driver: str) -> None:
    """What kind of network it is to be: ours are local, of three drivers."""
    if shapes.flag(body, "Ingress", False):
        raise refusals.refused("Ingress network can only be global scope network")
    if shapes.text(body, "Scope") == "swarm":
        raise refusals.refused("cannot create a swarm scoped network when swarm is not active")
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
