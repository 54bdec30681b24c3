"""connect and disconnect: what a container asks of the networks, changed after its creation; while it runs, done too.

Both hold the container's lock. What is stored is durable before the caller hears of it; a change that cannot be stored
is taken back. In between, an endpoint may be there that is not asked for, and never the other way round: an engine that
was killed there has its half change ended by the next one, which takes such endpoints away (network/recall.py).
"""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from wardian.engine.changes import keep_change
from wardian.engine.files.names import write_all_names
from wardian.engine.life.sandbox import open_namespace, sandbox_want
from wardian.engine.links import host_lines, linked, tell_linking
from wardian.engine.options.endpoints import as_want, check_settings, refuse_connect, wanted
from wardian.engine.options.network_checks import Settings, endpoint_settings
from wardian.engine.options.table import ENDPOINTS
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import FORBIDDEN, NOT_FOUND, SYSTEM, WardianError
from wardian.network import Changed, Endpoint, NetworkConfig, SandboxWant, close_ports

log = logging.getLogger(__name__)

Step = Callable[[int], Awaitable[Changed]]
Endpoints = Mapping[str, Settings]


async def connect(parts: Parts, container: Container, ref: str, body: Mapping[str, Any] | None) -> None:
    """`POST /networks/{id}/connect`; `body` is its EndpointConfig. Raises WardianError; nothing is changed then."""
    network = parts.networks.network(ref)
    settings = endpoint_settings(body or {}, "EndpointConfig")
    async with _changing(container, parts) as undo:
        config = container.config
        refuse_connect(config, network.name)
        check_settings(network, settings)
        before, after = wanted(config), wanted(config) | {network.name: settings}
        if container.state.live:
            await _connect_live(parts, container, network, before, after)
            undo.push_async_callback(_disconnect_live, parts, container, network, after, before)
        _store(parts, container, after)
        undo.pop_all()
    if container.state.live:
        publish(parts, container, "connect", network)


async def disconnect(parts: Parts, container: Container, ref: str, force: bool = False) -> None:
    """`POST /networks/{id}/disconnect`. `force`: also from a network that is there no more."""
    network = _known(parts, ref, force)
    name = network.name if network is not None else ref
    async with _changing(container, parts) as undo:
        before = wanted(container.config)
        _refuse_disconnect(container, name, before, network is not None)
        after = {key: settings for key, settings in before.items() if key != name}
        was_live = container.state.live
        _store(parts, container, after)
        if was_live and network is not None:
            undo.callback(_store_if_there, parts, container, network, before)
            await _disconnect_live(parts, container, network, before, after)
        undo.pop_all()
    if was_live and network is not None:
        publish(parts, container, "disconnect", network)


def publish(parts: Parts, container: Container, action: str, network: NetworkConfig) -> None:
    """The event that a container came to a network, or left it."""
    attributes = {"container": container.id, "name": network.name, "type": network.driver}
    parts.events.publish("network", action, network.id, attributes)


def publish_all(parts: Parts, container: Container, action: str) -> None:
    """At its start, and at its end."""
    for name in wanted(container.config):
        try:
            network = parts.networks.network(name)
        except WardianError:  # removed while the container ended
            continue
        publish(parts, container, action, network)


@asynccontextmanager
async def _changing(container: Container, parts: Parts) -> AsyncIterator[AsyncExitStack]:
    """The container's lock, and a stack of what takes back what was done when the block fails."""
    async with container.lock, AsyncExitStack() as undo:
        if parts.registry.get(container.id) is not container:
            message = f"No such container: {container.id}"
            raise WardianError(NOT_FOUND, message, operation="lock", subject=container.id)
        yield undo


def _known(parts: Parts, ref: str, force: bool) -> NetworkConfig | None:
    try:
        return parts.networks.network(ref)
    except WardianError as error:
        if not force or error.kind != NOT_FOUND:
            raise
        return None


def _refuse_disconnect(container: Container, name: str, connected: Mapping[str, Settings], known: bool) -> None:
    """Docker's words differ for one that does not run, and its status for a network that is not there."""
    kind = FORBIDDEN if known else SYSTEM
    if name == "host" and name in connected:
        message = "cannot disconnect container from host network - container was created in host network mode"
    elif name not in connected:
        article = "" if container.state.live and known else "the "
        message = f"container {container.id} is not connected to {article}network {name}"
    else:
        return
    raise WardianError(kind, message, operation="disconnect", subject=container.id)


async def _connect_live(
    parts: Parts, container: Container, network: NetworkConfig, before: Endpoints, after: Endpoints
) -> None:
    if _endpoint(parts, container, network) is not None:
        message = f"endpoint with name {container.name} already exists in network {network.name}"
        raise WardianError(FORBIDDEN, message, operation="connect", subject=container.id)
    want, back, whole = as_want(network.id, after[network.name]), *_wholes(parts, container, before, after)
    await _changed(
        parts,
        container,
        lambda fd: parts.networks.connect(container.id, want, fd, whole),
        lambda fd: parts.networks.disconnect(container.id, network.id, fd, back),
        ("connect", network.name),
    )


async def _disconnect_live(
    parts: Parts, container: Container, network: NetworkConfig, before: Endpoints, after: Endpoints
) -> None:
    given = _endpoint(parts, container, network)
    if given is None:  # an earlier version's engine was killed in the middle of a disconnect
        return
    back, whole = _wholes(parts, container, before, after)
    await _changed(
        parts,
        container,
        lambda fd: parts.networks.disconnect(container.id, network.id, fd, whole),
        lambda fd: parts.networks.connect(container.id, given.want, fd, back),
        ("disconnect", network.name),
    )


def _endpoint(parts: Parts, container: Container, network: NetworkConfig) -> Endpoint | None:
    return next((one for one in parts.networks.endpoints(container.id) if one.network.id == network.id), None)


def _wholes(parts: Parts, container: Container, before: Endpoints, after: Endpoints) -> tuple[SandboxWant, SandboxWant]:
    return _whole(parts, container, before), _whole(parts, container, after)


def _whole(parts: Parts, container: Container, endpoints: Endpoints) -> SandboxWant:
    """What the container asks of all its networks with these."""
    config = container.config.replaced({ENDPOINTS: dict(endpoints)})
    return sandbox_want(config, container.name, parts.networks)


async def _changed(parts: Parts, container: Container, work: Step, back: Step, called: tuple[str, str]) -> None:
    """Carry out `work` in the container's namespace, and tell its supervisor and its files what follows from it. When
    the supervisor does not take it, `back` undoes it. `called`: action and network, for `explain`."""
    fd = open_namespace(container, "net")
    try:
        changed = await work(fd)
        try:
            await hand_over(container, changed)
        except BaseException:
            try:
                await back(fd)
            except WardianError as error:
                words = (container.id[:12], *called, error)
                log.warning("container %s: %s of network %s could not be taken back: %s", *words)
            raise
    finally:
        os.close(fd)
    if not container.state.live:  # it ended meanwhile, and what it had then is given back already
        await parts.networks.detach(container.id)
        return
    endpoints, lines = parts.networks.endpoints(container.id), host_lines(linked(parts, container))
    write_all_names(container.config, endpoints, parts.networks.host_gateway, changed.resolver, lines)
    tell_linking(parts, container)
    keep_change(container, *called, changed.steps)


async def hand_over(container: Container, changed: Changed) -> None:
    """Where its published ports lead now; without a supervisor it has just ended."""
    try:
        if container.supervisor is not None and changed.publishing:
            await container.supervisor.publish(changed.publishing)
        elif container.supervisor is not None and changed.released:
            await container.supervisor.unpublish()
    finally:
        close_ports(changed.held)


def _store_if_there(parts: Parts, container: Container, network: NetworkConfig, endpoints: Endpoints) -> None:
    """After a disconnect that failed: one that went through, and was not heard of, stays."""
    if _endpoint(parts, container, network) is not None:
        _store(parts, container, endpoints)


def _store(parts: Parts, container: Container, endpoints: Endpoints) -> None:
    values = {**container.record.values, ENDPOINTS: dict(endpoints)}
    record = container.record._replace(values=values)
    parts.store.replace(record)
    container.record = record
    container.config = container.config.replaced({ENDPOINTS: dict(endpoints)})
