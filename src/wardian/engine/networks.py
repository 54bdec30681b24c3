"""Networks as the API's calls want them, with the containers that are on them."""

from collections.abc import Mapping
from typing import Any

from wardian.engine import connections
from wardian.engine.filters import Filters, until
from wardian.engine.options.endpoints import WITHOUT_LINKS, network_of
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.network import NetworkConfig
from wardian.uncancelled import to_the_end

Bodies = list[dict[str, Any]]


class Networks:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list(self, filters: Filters | None = None, detailed: bool = False) -> Bodies:
        """`detailed`: with the containers on each, as API versions before 1.28 list them."""
        found = self._parts.networks.list(filters or {})
        return [self.inspect(one["Id"]) for one in found] if detailed else found

    def inspect(self, ref: str, scope: str = "") -> dict[str, Any]:
        """`scope`: only a network of this one; ours are all local."""
        if scope not in ("", "local"):
            raise WardianError(NOT_FOUND, f"network {ref} not found", operation="inspect network", subject=ref)
        attached = {container.id: (container.id, container.name) for container in self._parts.registry}
        found = self._parts.networks.inspect(ref, attached)
        if found["Name"] in WITHOUT_LINKS:
            found["Containers"] = self._without_links(found["Name"])
        return found

    def _without_links(self, name: str) -> dict[str, dict[str, str]]:
        """Who runs on the host's network, or on none: they are there without an endpoint."""
        blank = dict.fromkeys(("EndpointID", "MacAddress", "IPv4Address", "IPv6Address"), "")
        return {
            container.id: {"Name": container.name, **blank}
            for container in self._parts.registry
            if container.state.live and network_of(container.config) == name
        }

    async def create(self, body: Mapping[str, Any]) -> dict[str, str]:
        network, warning = await self._parts.networks.create(body)
        self._publish("create", network)
        return {"Id": network.id, "Warning": warning}

    async def remove(self, ref: str) -> None:
        names = {container.id: container.name for container in self._parts.registry}
        self._publish("destroy", await self._parts.networks.remove(ref, names))

    async def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        filters = filters or {}
        gone = await self._parts.networks.prune(filters, until(filters, "prune networks"))
        for network in gone:
            self._publish("destroy", network)
        self._parts.events.publish("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": [network.name for network in gone] or None}

    async def connect(self, ref: str, container: str, endpoint: Mapping[str, Any] | None = None) -> None:
        """`container` is on this network from now on, or from its next start."""
        await to_the_end(connections.connect(self._parts, self._container(container), ref, endpoint))

    async def disconnect(self, ref: str, container: str, force: bool = False) -> None:
        found = self._forced(container, ref) if force else self._container(container)
        await to_the_end(connections.disconnect(self._parts, found, ref, force))

    def _container(self, ref: str) -> Container:
        if not ref:
            raise WardianError(INVALID, 'invalid name or ID supplied: ""', operation="connect")
        return self._parts.registry.find(ref)

    def _forced(self, ref: str, network: str) -> Container:
        """Docker looks for an endpoint of that name then, whose container is no more: none of ours outlives it."""
        try:
            return self._container(ref)
        except WardianError as error:
            if error.kind != NOT_FOUND:
                raise
            self._parts.networks.network(network)
            message = f"endpoint {ref} not found"
            raise WardianError(NOT_FOUND, message, operation="disconnect", subject=ref) from error

    def _publish(self, action: str, network: NetworkConfig) -> None:
        attributes = {"name": network.name, "type": network.driver}
        self._parts.events.publish("network", action, network.id, attributes)
