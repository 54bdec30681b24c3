"""The networks that a container asks for: `NetworkMode` names the first, `EndpointsConfig` says what it asks of each.

Create stores them by the networks' names, as Docker does; connect and disconnect change what is stored (or, while the
container runs, where it is too). What is stored is the API's EndpointSettings, cut to what somebody asked. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.network_checks import Settings, address_problems, invalid_settings, joined
from wardian.engine.options.table import ENDPOINTS
from wardian.errors import FORBIDDEN, INVALID, WardianError
from wardian.network import EndpointWant, NetworkConfig, check_addresses, check_endpoint_options, check_predefined

# networks that give no link: a container is on nothing else beside one of these
WITHOUT_LINKS = ("none", "host")
_SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"
_NOT_HOSTS = "cannot connect container to host network - container must be created in host network mode"


def network_of(config: ContainerConfig) -> str:
    """NetworkMode's network by name ("default" is the bridge), or "" for a joined one."""
    if config.joins("network"):
        return ""
    mode = str(config["HostConfig.NetworkMode"])
    return "bridge" if mode in ("", "default") else mode


def wanted(config: ContainerConfig) -> dict[str, Settings]:
    """Network name → what is asked of it, in the order in which links are made: NetworkMode's first, then by name."""
    first, stored = network_of(config), config[ENDPOINTS]
    if not first:
        return {}
    if stored is None:
        return {first: {}}
    names = [name for name in (first, *sorted(set(stored) - {first})) if name in stored]
    return {name: stored[name] for name in names}


def as_want(network_id: str, settings: Mapping[str, Any]) -> EndpointWant:
    asked = settings.get("IPAMConfig") or {}
    return EndpointWant(
        network=network_id,
        ipv4=asked.get("IPv4Address", ""),
        ipv6=asked.get("IPv6Address", ""),
        mac=settings.get("MacAddress", ""),
        link_local=tuple(asked.get("LinkLocalIPs", ())),
        aliases=tuple(settings.get("Aliases", ())),
        gw_priority=settings.get("GwPriority", 0),
        driver_opts=dict(settings.get("DriverOpts", {})),
        links=tuple(settings.get("Links", ())),
    )


def check_endpoints(asked: Iterable[tuple[str, NetworkConfig | None, Mapping[str, Any]]]) -> None:
    """At create: whether these networks can give what is asked of them, by name; None for one that is not there yet.
    Raises WardianError in Docker's words, with all that is wrong."""
    problems: list[str] = []
    kinds = []
    for name, network, settings in asked:
        try:
            check_settings(network, settings)
        except WardianError as error:
            problems.append(f"invalid config for network {name}: {error.message}")
            kinds.append(error.kind)
    if problems:
        raise WardianError(kinds[0], joined(problems), operation="create", subject=ENDPOINTS)


def check_settings(network: NetworkConfig | None, settings: Mapping[str, Any]) -> None:
    want = as_want(network.id if network is not None else "", settings)
    check_endpoint_options(want)
    problems = address_problems(dict(settings))
    if network is not None:
        if network.name in ("bridge", *WITHOUT_LINKS):
            problems = check_predefined(network, want) + problems
        problems += check_addresses(network, want.ipv4, want.ipv6)
    if problems:
        raise invalid_settings(problems, network.name if network is not None else "")


def names_of(config: ContainerConfig, name: str) -> tuple[str, ...]:
    """What a container answers to on its networks, beside its aliases there: Docker's DNSNames."""
    return tuple(dict.fromkeys((name, config.id[:12], config.hostname())))


def settle_endpoints(values: dict[str, Any]) -> None:
    """The body's own names for networks → one each: the endpoint "default" is the bridge's, the container-wide MAC
    address is that of NetworkMode's network. A body that names endpoints joins these and no others, as in Docker:
    NetworkMode's network counts where none is named. Nothing stays stored where nothing was asked. NetworkDisabled is
    the network none, whatever else is asked."""
    if values.get("NetworkDisabled"):
        values["HostConfig.NetworkMode"] = "none"
        values.pop(ENDPOINTS, None)
        values.pop("MacAddress", None)
        return
    config = ContainerConfig(values)
    first = network_of(config)
    stored = {("bridge" if name == "default" else name): item for name, item in (config[ENDPOINTS] or {}).items()}
    if not first:
        stored.pop(config["HostConfig.NetworkMode"], None)
        if stored:
            raise WardianError(INVALID, f"conflicting options: {_SHARED}", operation="create", subject=ENDPOINTS)
        values.pop(ENDPOINTS, None)
        return
    if not stored or first in WITHOUT_LINKS:
        stored.setdefault(first, {})
    _one_mac(stored.get(first), config["MacAddress"])
    _alone(stored)
    if "host" in stored and first != "host":
        raise WardianError(INVALID, _NOT_HOSTS, operation="create", subject=ENDPOINTS)
    if "none" in stored:
        values["HostConfig.NetworkMode"] = first = "none"
    if stored == {first: {}}:
        values.pop(ENDPOINTS, None)
    else:
        values[ENDPOINTS] = stored


def _one_mac(settings: Settings | None, wide: str) -> None:
    """`settings`: of NetworkMode's network; None when the container is not to be on it."""
    if not wide:
        return
    if settings is None:
        message = (
            "unable to migrate container-wide MAC address to a specific network: HostConfig.NetworkMode must match the "
            "identity of a network in NetworkSettings.Networks"
        )
        raise WardianError(INVALID, message, operation="create", subject="MacAddress")
    if settings.setdefault("MacAddress", wide) != wide:
        message = (
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
            "or be left empty"
        )
        raise WardianError(INVALID, message, operation="create", subject="MacAddress")


def _alone(stored: Mapping[str, Settings]) -> None:
    """none and host are no networks to be on beside others."""
    if len(stored) > 1 and (without := set(stored) & set(WITHOUT_LINKS)):
        message = "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        if "none" in without:
            message = (
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )
        raise WardianError(INVALID, message, operation="create", subject=ENDPOINTS)


def refuse_connect(config: ContainerConfig, network: str) -> None:
    """Before a connect: what shares a namespace, or has none of its own, joins no network. Docker's words (403)."""
    if config.joins("network") or network_of(config) == "host":
        message = _SHARED
    elif network == "host":
        message = _NOT_HOSTS
    elif "none" in (network, *wanted(config)):
        message = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
    else:
        return
    raise WardianError(FORBIDDEN, message, operation="connect", subject=network)
