"""The networks as users know them: made, listed, described in the API's shape (1.51) and removed.

A network is written before its links are made, and forgotten after they are gone: what a crash cuts off in between is
made, or removed again, by the next engine, and no link is left that nobody knows.
"""

import asyncio
import datetime
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from wardian.errors import CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, WardianError
from wardian.network import filters as network_filters
from wardian.network.addresses import Pool, Taken, choose_subnet, conflict, gateway_of
from wardian.network.asked import check_network, configured, read_network
from wardian.network.config import Beside, complete, configuration, overlaps, own_ranges
from wardian.network.describe import describe, described_endpoint
from wardian.network.ranges import host_ranges, subnet_lock
from wardian.network.state import NetworkRows, now
from wardian.network.values import NetworkConfig, Subnet

log = logging.getLogger(__name__)


class HostSide(Protocol):
    """What of a network is the kernel's: its link, addresses and rules."""

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig]) -> None:
        """Raises WardianError for what its driver cannot make, or not beside `others`."""

    async def ensure(self, config: NetworkConfig) -> None:
        """Makes or mends it all. Raises WardianError or OSError; what is left then is taken away by `remove`."""

    async def remove(self, config: NetworkConfig) -> None:
        """Takes it all away, where it is there."""


class Catalogue:
    """All networks of an engine. Methods are called in the loop's thread."""

    def __init__(self, rows: NetworkRows, side: HostSide, pools: Sequence[Pool]) -> None:
        self.rows = rows
        self.side = side
        self.pools = pools
        self.overlaps: list[str] = []  # what of the host's stood in the way of a network when the engine started
        self._changing = asyncio.Lock()

    # reading

    def network(self, mode: str) -> NetworkConfig:
        """The network of a `NetworkMode`, a name, an id or its beginning. Raises NOT_FOUND in Docker's words."""
        return self.find("bridge" if mode in ("default", "") else mode)

    def find(self, ref: str) -> NetworkConfig:
        """By id, by name, by the unique beginning of an id, in this order."""
        networks = self.rows.networks()
        for matches in (
            [one for one in networks if one.id == ref],
            [one for one in networks if one.name == ref],
            [one for one in networks if ref and one.id.startswith(ref)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise WardianError(
                    INVALID, f"network {ref} is ambiguous ({len(matches)} matches found based on ID prefix)"
                )
        raise WardianError(NOT_FOUND, f"network {ref} not found", operation="find network", subject=ref)

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """`GET /networks`. Raises INVALID on a filter that is not one."""
        chosen = network_filters.chosen(self.rows.networks(), filters or {}, self._used())
        return [describe(one, {}) for one in chosen]

    def inspect(self, ref: str, attached: Mapping[str, tuple[str, str]] | None = None) -> dict[str, Any]:
        """`GET /networks/{id}`. `attached` maps a sandbox's id to its container's id and name."""
        found = self.find(ref)
        containers = {}
        for row in self.rows.endpoints(found.id):
            container, name = (attached or {}).get(row.sandbox, (row.sandbox, ""))
            containers[container] = described_endpoint(found, row, name)
        return describe(found, containers)

    # changing

    async def create(self, body: Mapping[str, Any]) -> tuple[NetworkConfig, str]:
        """A new network and a warning, "" for none. Raises WardianError; nothing is left of it then."""
        asked = read_network(body)
        async with self._changing:
            if self.rows.named(asked.name) is not None:
                message = f"network with name {asked.name} already exists"
                raise WardianError(CONFLICT, message, operation="create network", subject=asked.name)
            networks = self.rows.networks()
            if asked.config_only:
                config = configuration(asked, secrets.token_hex(32), now())
                self.rows.add(config)
                return config, ""
            asked = configured(asked, networks)
            check_network(asked)
            async with subnet_lock():
                beside = Beside(networks, await self._host_ranges(), self.pools)
                config, warnings = complete(asked, secrets.token_hex(32), now(), beside)
                self.side.check(config, networks)
                self.rows.add(config)
                await self._make(config)
        return config, "; ".join(warnings)

    async def _make(self, config: NetworkConfig) -> None:
        try:
            await self.side.ensure(config)
        except BaseException:
            try:
                await asyncio.shield(self.side.remove(config))
            except (WardianError, OSError) as error:
                log.warning("network %s: what was made of it is still there: %s", config.name, error)
            finally:
                self.rows.discard(config.id)
            raise

    async def remove(self, ref: str, names: Mapping[str, str] | None = None) -> NetworkConfig:
        """`names` maps a sandbox's id to the name that an error calls it by. Raises WardianError."""
        async with self._changing:
            found = self.find(ref)
            if network_filters.is_predefined(found):
                message = f"{found.name} is a pre-defined network and cannot be removed"
                raise WardianError(FORBIDDEN, message, operation="remove network", subject=found.name)
            if found.config_only and any(one.config_from == found.name for one in self.rows.networks()):
                message = f'error while removing network: configuration network "{found.name}" is in use'
                raise WardianError(FORBIDDEN, message, operation="remove network", subject=found.name)
            rows = self.rows.endpoints(found.id)
            if rows:
                held = ", ".join(f'name:"{(names or {}).get(row.sandbox, "")}" id:"{row.id[:12]}"' for row in rows)
                message = f"error while removing network: network {found.name} has active endpoints ({held})"
                raise WardianError(FORBIDDEN, message, operation="remove network", subject=found.name)
            await self._take_away(found)
        return found

    async def _take_away(self, config: NetworkConfig) -> None:
        """No endpoint can come in between: `leaving` refuses it, the rows go when the links are gone."""
        self.rows.leaving.add(config.id)
        try:
            await self.side.remove(config)
            self.rows.discard(config.id)
        finally:
            self.rows.leaving.discard(config.id)

    async def prune(
        self, filters: Mapping[str, Sequence[str]], created_before: float | None
    ) -> tuple[NetworkConfig, ...]:
        """Removes those that nobody is on; returns them. One that cannot be removed stays, and is logged."""
        means = network_filters.prunable(filters, created_before)
        gone = []
        async with self._changing:
            for one in self.rows.networks():
                if not means(one, _seconds(one.created)) or one.id in self._used():
                    continue
                try:
                    await self._take_away(one)
                except (WardianError, OSError) as error:
                    log.warning("network %s could not be removed: %s", one.name, error)
                else:
                    gone.append(one)
        return tuple(gone)

    async def settle_bridge(self) -> NetworkConfig:
        """The default bridge, with a subnet that is free on this host: the stored one, unless the host has taken it
        since and nobody lives in it. For `start`, under `subnet_lock` until the bridge has the address."""
        bridge, networks, host = self.find("bridge"), self.rows.networks(), await self._host_ranges()
        self.overlaps = overlaps(networks, host)
        taken = [*host, *own_ranges([one for one in networks if one != bridge])]
        if bridge.v4 is not None and (self.rows.endpoints(bridge.id) or not conflict(bridge.v4.subnet, taken)):
            return bridge
        subnet = choose_subnet(taken, self.pools)
        settled = bridge._replace(subnets=(Subnet(subnet, gateway_of(subnet), chosen=True),))
        self.rows.replace(settled)
        return settled

    async def _host_ranges(self) -> tuple[Taken, ...]:
        own = {one.link for one in self.rows.networks() if one.driver == "bridge"}
        return tuple(await asyncio.to_thread(host_ranges, own))

    def _used(self) -> set[str]:
        return {row.network for row in self.rows.endpoints()}


def _seconds(created: str) -> float:
    return datetime.datetime.fromisoformat(created).timestamp()
