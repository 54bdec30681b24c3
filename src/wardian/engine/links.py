"""Links on the default bridge (`--link OTHER:ALIAS`): how a container hears where others are that were there before it.

Docker's oldest way to find each other, kept for who still asks for it: lines in /etc/hosts, and variables in the
environment, with the other's name, ports and environment. On networks that somebody created a link is a name that the
resolver answers to one container alone (`wardian.network`).

A link is stored by the other's id: it may be renamed. When the other is removed, a start says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.engine.files.names import write_hosts
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.endpoints import WITHOUT_LINKS, network_of
from wardian.engine.options.table import ENDPOINTS
from wardian.engine.parts import Parts
from wardian.engine.registry import LINKS, Container, Registry
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, SYSTEM, WardianError
from wardian.network import Endpoint, read_link

_BRIDGE = "bridge"
# A build sets these; they say nothing of who is linked.
_UNTOLD = ("HOME", "PATH")


class Link(NamedTuple):
    other: Container
    alias: str


class Linked(NamedTuple):
    """What a container is told of another: by which names, at which addresses."""

    link: Link
    ipv4: str
    ipv6: str


def settle_links(registry: Registry, values: dict[str, Any]) -> None:
    """The links of a body, by ids. On a network that somebody created they are the endpoint's, as docker's command line
    asks for them there. Raises INVALID in Docker's words."""
    config = ContainerConfig(values)
    asked: list[str] = config[LINKS]
    if not asked:
        return
    mode = "container" if config.joins("network") else network_of(config)
    if mode in ("container", "host"):
        message = f"conflicting options: {mode} type {'network' if mode == 'container' else 'networking'}"
        raise _invalid(f"{message} can't be used with links. This would result in undefined behavior")
    if mode not in (_BRIDGE, *WITHOUT_LINKS):
        _to_endpoint(values, mode, asked)
        return
    found: dict[str, str] = {}  # of two with one alias the first counts
    for text in asked:
        name, alias = read_link(text)
        found.setdefault(alias, _linkable(registry, name).id)
    values[LINKS] = [f"{identity}:{alias}" for alias, identity in found.items()]


def _to_endpoint(values: dict[str, Any], network: str, asked: Sequence[str]) -> None:
    endpoints = dict(values.get(ENDPOINTS) or {})
    settings = dict(endpoints.get(network) or {})
    settings["Links"] = list(dict.fromkeys((*settings.get("Links", ()), *asked)))
    values[ENDPOINTS] = endpoints | {network: settings}
    del values[LINKS]


def _linkable(registry: Registry, name: str) -> Container:
    """Whose network it is; who joined another's is found there."""
    try:
        found = registry.find(name)
        while ref := found.config.joins("network"):
            found = registry.find(ref)
    except WardianError as error:
        if error.kind != NOT_FOUND:
            raise
        raise _invalid(f"could not get container for {name}: {error.message}") from error
    if network_of(found.config) == "host":
        raise _invalid("conflicting options: host type networking can't be used with links")
    return found


def links_of(registry: Registry, container: Container) -> Iterator[Link]:
    """Those whose other is there still."""
    for text in container.config[LINKS]:
        identity, _, alias = text.partition(":")
        other = registry.get(identity)
        if other is not None:
            yield Link(other, alias)


def shown(registry: Registry, container: Container) -> list[str] | None:
    """`HostConfig.Links` of inspect."""
    return [f"/{one.other.name}:/{container.name}/{one.alias}" for one in links_of(registry, container)] or None


def names_by_links(registry: Registry) -> dict[str, list[str]]:
    """By the id of who is linked, what it is called by others: `/web/db`."""
    found: dict[str, list[str]] = {}
    for container in registry.tied:
        for one in links_of(registry, container):
            found.setdefault(one.other.id, []).append(f"/{container.name}/{one.alias}")
    return found


def check_links(parts: Parts, container: Container) -> None:
    """Before a start. Raises SYSTEM in Docker's words for one who does not run, or is not on the default bridge."""
    if network_of(container.config) != _BRIDGE:
        return
    for text in container.config[LINKS]:
        identity, _, alias = text.partition(":")
        other = parts.registry.get(identity)
        if other is None or not other.state.live:
            name = f"/{other.name}" if other is not None else identity[:12]  # removed: only its id is known
            message = f"Cannot link to a non running container: {name} AS /{container.name}/{alias}"
        elif _on_bridge(parts, other) is None:
            message = f"container {other.id} not attached to default bridge network"
        else:
            continue
        raise WardianError(SYSTEM, message, operation="start", subject=identity)


def linked(parts: Parts, container: Container) -> list[Linked]:
    """Who is linked and on the default bridge now, as this container is."""
    if not container.config[LINKS] or _on_bridge(parts, container) is None:
        return []
    found = []
    for one in links_of(parts.registry, container):
        place = _on_bridge(parts, one.other)
        if place is not None:
            found.append(Linked(one, place.ipv4, place.ipv6))
    return found


def _on_bridge(parts: Parts, container: Container) -> Endpoint | None:
    endpoints = parts.networks.endpoints(container.id)
    return next((one for one in endpoints if one.network.name == _BRIDGE), None)


def host_lines(found: Sequence[Linked]) -> list[tuple[str, str]]:
    """For /etc/hosts: names and an address. Alias, hostname, and the name where it is another one."""
    lines = []
    for (other, alias), ipv4, ipv6 in found:
        names = " ".join(dict.fromkeys((alias, other.config.hostname(), other.name)))
        lines += [(names, address) for address in (ipv4, ipv6) if address]
    return lines


def with_links(parts: Parts, container: Container, env: list[str]) -> list[str]:
    """An environment with what Docker says there of those that are linked. What somebody set stays."""
    said = {item.partition("=")[0] for item in env}
    told = (line for one in linked(parts, container) for line in _variables(container.name, one))
    return env + [line for line in told if line.partition("=")[0] not in said]


def _variables(name: str, one: Linked) -> Iterator[str]:
    other, alias = one.link
    prefix, address = alias.upper().replace("-", "_"), one.ipv4 or f"[{one.ipv6}]"
    ports = _sorted_ports(other.config["ExposedPorts"])
    if ports:
        yield f"{prefix}_PORT={ports[0][1]}://{address}:{ports[0][0]}"
    for port, protocol in ports:
        yield from _of_port(f"{prefix}_PORT_{port}_{protocol.upper()}", port, protocol, one.ipv4 or one.ipv6)
    for first, last, protocol in _ranges(ports):
        at = f"{prefix}_PORT_{first}_{protocol.upper()}"
        yield f"{at}_START={protocol}://{address}:{first}"
        yield f"{at}_PORT_START={first}"
        yield f"{at}_END={protocol}://{address}:{last}"
        yield f"{at}_PORT_END={last}"
    yield f"{prefix}_NAME=/{name}/{alias}"
    for item in other.config["Env"]:
        variable, sign, value = item.partition("=")
        if sign and variable not in _UNTOLD:
            yield f"{prefix}_ENV_{variable}={value}"


def _of_port(at: str, port: int, protocol: str, address: str) -> Iterator[str]:
    shown_address = f"[{address}]" if ":" in address else address
    yield f"{at}={protocol}://{shown_address}:{port}"
    yield f"{at}_ADDR={address}"
    yield f"{at}_PORT={port}"
    yield f"{at}_PROTO={protocol}"


def _sorted_ports(exposed: Mapping[str, Any]) -> list[tuple[int, str]]:
    """TCP's first."""
    ports = [(int(number), protocol) for number, _, protocol in (key.partition("/") for key in exposed)]
    return sorted(ports, key=lambda port: (port[1] != "tcp", port[1], port[0]))


def _ranges(ports: Sequence[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """Ports of one protocol that follow each other."""
    found: list[tuple[int, int, str]] = []
    for port, protocol in ports:
        if found and found[-1][1:] == (port - 1, protocol):
            found[-1] = (found[-1][0], port, protocol)
        else:
            found.append((port, port, protocol))
    return [one for one in found if one[0] != one[1]]


def tell_linking(parts: Parts, container: Container) -> None:
    """It came to the default bridge: those that run and link to it hear of its address."""
    if _on_bridge(parts, container) is None:
        return
    for one in parts.registry.tied:
        if (
            one.state.live
            and one.config[LINKS]
            and any(link.other is container for link in links_of(parts.registry, one))
        ):
            lines = host_lines(linked(parts, one))
            write_hosts(one.config, parts.networks.endpoints(one.id), parts.networks.host_gateway, lines)


async def unlink(parts: Parts, ref: str) -> None:
    """`docker rm --link PARENT/ALIAS`. What the container was told at its start stays until its next one."""
    name, slash, alias = ref.strip("/").partition("/")
    if not slash:
        parts.registry.find(name)
        message = "Conflict, cannot remove the default link name of the container"
        raise WardianError(CONFLICT, message, operation="remove", subject=ref)
    missing = WardianError(NOT_FOUND, f"No such container: {ref}", operation="remove", subject=ref)
    identity = parts.registry.names.get(name)
    container = parts.registry.get(identity) if identity is not None else None
    if container is None:
        raise missing
    async with container.lock:  # who renames or connects it writes the same record
        left = [text for text in container.config[LINKS] if text.partition(":")[2] != alias]
        if left == container.config[LINKS]:
            raise missing
        record = container.record._replace(values={**container.record.values, LINKS: left})
        parts.store.replace(record)
        container.record, container.config = record, container.config.replaced({LINKS: left})


def _invalid(message: str) -> WardianError:
    return WardianError(INVALID, message, operation="create", subject=LINKS)
