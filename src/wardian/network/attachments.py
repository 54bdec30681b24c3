"""Sandboxes on their networks: attach, detach, connect and disconnect, each all or nothing.

    rows (who has which address) → plumbing (namespace, links, routes) → ports (sockets, rules) → names

What was done is undone from the last step to the first when a later one fails. The rows are written before the kernel
hears of anything, and forgotten last: a crash in between costs no more than `recall` gives back.
"""

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

from wardian.errors import CONFLICT, FORBIDDEN, WardianError
from wardian.kernel import netns
from wardian.network.gateways import families_of, gateways, interface_name, leads_somewhere, target_of
from wardian.network.hostside import HostSide
from wardian.network.names import ResolverSockets, prepare_inside
from wardian.network.naming import Naming, has_names, named, view_of
from wardian.network.plumbing import Placed
from wardian.network.published import PublishedPorts
from wardian.network.publishing import Clock, Published, describe_want
from wardian.network.state import EndpointRow, NetworkRows
from wardian.network.values import (
    Attachment,
    Changed,
    Done,
    Endpoint,
    EndpointWant,
    HeldPort,
    NetworkConfig,
    PortRule,
    SandboxWant,
    ShortWay,
)
from wardian.uncancelled import to_the_end


class Attachments:
    """Who is on which network. Methods are called in the loop's thread; the host's side has the network's."""

    def __init__(
        self,
        rows: NetworkRows,
        host: HostSide,
        naming: Naming,
        left_behind: Callable[[str], list[int]],
    ) -> None:
        self._rows = rows
        self._host = host
        self._plumbing = host.plumbing
        self._naming = naming
        self._left_behind = left_behind
        self._endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self._ports = PublishedPorts(rows, host)
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._read_rows()

    # ---- reading ----

    def endpoints(self, sandbox: str) -> tuple[Endpoint, ...]:
        """What the sandbox has, in the order in which its links were made; survives an engine's restart."""
        return self._endpoints.get(sandbox, ())

    def published(self, sandbox: str) -> tuple[HeldPort, ...]:
        """The host's ports that lead to it, without descriptors."""
        return self._ports.of(sandbox).held

    def planned(self, sandbox: str, want: SandboxWant) -> list[Done]:
        """What `attach` would do, as far as it is known before: no time was spent, nothing is given or made."""
        endpoints: list[Endpoint] = []
        for one in want.endpoints:
            config = self._rows.network(one.network)
            name = interface_name(config, one, [other.interface for other in endpoints]) if config is not None else ""
            row = self._rows.proposed(sandbox, one, name)
            assert config is not None, "an address of it was proposed"
            endpoints.append(named(self._new_endpoint(config, row), want.names))
        steps = [_given(one, 0) for one in endpoints]
        steps += [Done(step.kind, step.describe(), 0) for step in self._plumbing.planned(_placed(endpoints, want))]
        if leads_somewhere(target_of(gateways(endpoints))):
            steps += [Done("port", describe_want(one), 0) for one in want.ports]
        return steps + [_known_as(one, 0) for one in endpoints if has_names(one.network)]

    # ---- a sandbox comes and goes ----

    async def attach(self, sandbox: str, want: SandboxWant, netns_fd: int = -1) -> Attachment:
        """A namespace with the sandbox's endpoints in it. The caller owns and closes what the attachment holds. With
        `netns_fd` it is that one, which stays the caller's; what the attachment has is a copy.

        Raises WardianError; nothing is left then.
        """
        async with self._turn(sandbox), AsyncExitStack() as undo:
            if sandbox in self._endpoints:
                message = f"sandbox {sandbox[:12]} is attached already"
                raise WardianError(CONFLICT, message, operation="attach", subject=sandbox)
            for one in want.endpoints:
                await self._open(one.network)
            clock = Clock()
            endpoints = self._allocate(sandbox, want, undo)
            steps = [_given(one, clock.lap() if one is endpoints[0] else 0) for one in endpoints]
            plumbed = await self._plumbing.attach(_placed(endpoints, want), netns_fd)
            undo.callback(os.close, plumbed.netns_fd)
            steps += plumbed.steps
            sockets = plumbed.names if isinstance(plumbed.names, ResolverSockets) else None
            with _closed_on_failure(sockets):
                published, done = await self._ports.publish(endpoints, want, undo)
                await self._ports.see_short_ways(sandbox, (), endpoints, published, undo)
            steps += done
            steps += await self._tell(sandbox, endpoints, want, plumbed.netns_fd, sockets, undo)
            self._remember(sandbox, endpoints, published)
            undo.pop_all()
            resolver = self._naming.answers(sandbox)
            return Attachment(
                plumbed.netns_fd, endpoints, published.held, tuple(steps), resolver, published.publications()
            )

    async def detach(self, sandbox: str) -> None:
        """The sandbox's last process is gone: what led to it leads nowhere, and its places are free. No error when it
        has none. Its links go with its namespace, or are taken out of it when others live there: an address that is
        free is on no link. Raises WardianError, and gives nothing back, when a link cannot be taken out."""
        async with self._turn(sandbox), AsyncExitStack() as steps:  # carried out from the last to the first
            await self._take_out(sandbox)
            endpoints = self._endpoints.pop(sandbox, ())
            for one in endpoints:
                steps.callback(self._rows.release, sandbox, one.network.id)
                steps.callback(self._naming.remove, one)
            steps.callback(self._naming.forget, sandbox)
            await self._ports.withdraw(sandbox, endpoints)

    async def _take_out(self, sandbox: str) -> None:
        endpoints = self.endpoints(sandbox)
        if not endpoints:
            return
        with ExitStack() as opened:
            left = self._left_behind(sandbox)
            for netns_fd in left:
                opened.callback(os.close, netns_fd)
            for netns_fd in left:
                for one in endpoints:
                    await self._plumbing.disconnect(one, netns_fd)

    # ---- a sandbox that lives changes ----

    async def connect(self, sandbox: str, want: EndpointWant, netns_fd: int, whole: SandboxWant) -> Changed:
        """One more endpoint, in the namespace that the sandbox lives in. `whole`: what it asks with this one."""
        async with self._turn(sandbox), AsyncExitStack() as undo:
            await self._open(want.network)
            before, ports = self.endpoints(sandbox), self._ports.of(sandbox)
            endpoint = self._allocate_one(sandbox, want, [one.interface for one in before], whole.names, undo)
            after = (*before, endpoint)
            placed = next(one for one in _placed(after, whole) if one.endpoint is endpoint)
            steps = [_given(endpoint, 0), *await self._plumbing.connect(placed, netns_fd)]
            undo.push_async_callback(self._plumbing.disconnect, endpoint, netns_fd, _placed(before, whole))
            published, done = await self._ports.lead(sandbox, after, whole, undo)
            await self._ports.see_short_ways(sandbox, before, after, published, undo)
            steps += done
            steps += await self._tell(sandbox, after, whole, netns_fd, None, undo)
            self._remember(sandbox, after, published)
            undo.pop_all()
            return self._changed(sandbox, ports, published, steps)

    async def disconnect(self, sandbox: str, network: str, netns_fd: int, whole: SandboxWant) -> Changed:
        """One endpoint less. Raises FORBIDDEN when there is none on `network`. Once begun it goes through, whoever is
        cancelled: a link that went cannot be had back as it was."""
        return await to_the_end(self._disconnect(sandbox, network, netns_fd, whole))

    async def _disconnect(self, sandbox: str, network: str, netns_fd: int, whole: SandboxWant) -> Changed:
        async with self._turn(sandbox), AsyncExitStack() as undo:
            before, ports = self.endpoints(sandbox), self._ports.of(sandbox)
            endpoint = next((one for one in before if one.network.id == network), None)
            if endpoint is None:
                message = f"container {sandbox} is not connected to the network {network}"
                raise WardianError(FORBIDDEN, message, operation="disconnect", subject=sandbox)
            after = tuple(one for one in before if one is not endpoint)
            published, steps = await self._ports.lead(sandbox, after, whole, undo)
            await self._ports.see_short_ways(sandbox, before, after, published, undo)
            steps += await self._plumbing.disconnect(endpoint, netns_fd, _placed(after, whole))
            undo.pop_all()
            self._naming.remove(endpoint)
            self._naming.tell(sandbox, view_of(after, whole, bool(gateways(after))), None)
            self._remember(sandbox, after, published)
            self._rows.release(sandbox, network)
            if has_names(endpoint.network):
                steps.append(Done("name", f"{', '.join(endpoint.dns_names)} no more on {endpoint.network.name}", 0))
            steps.append(Done("address", f"{_addresses(endpoint)} given back to network {endpoint.network.name}", 0))
            return self._changed(sandbox, ports, published, steps)

    def rename(self, sandbox: str, names: Sequence[str]) -> None:
        """It answers to `names` from now on."""
        endpoints = tuple(named(one, names) for one in self.endpoints(sandbox))
        if endpoints:
            self._endpoints[sandbox] = endpoints
            for one in endpoints:
                self._naming.add(one)

    # ---- after an engine's restart ----

    def rules(self) -> list[PortRule]:
        """Where the ports of those that an earlier engine attached lead."""
        return self._ports.rules()

    def short_ways(self) -> dict[str, frozenset[ShortWay]]:
        """Of those of them that publish ports and have several links."""
        found = {one: self._ports.short_ways(one, self.endpoints(one)) for one in self._ports.sandboxes()}
        return {sandbox: ways for sandbox, ways in found.items() if ways}

    def begin(self) -> set[str]:
        """Of those that an earlier engine attached, who has a resolver."""
        known = {sandbox for sandbox, given in self._endpoints.items() if any(has_names(one.network) for one in given)}
        self._naming.know(known)
        return known

    def standing(self, sandbox: str) -> Changed:
        """What holds now, for a supervisor that an earlier engine may have told nothing of its last change."""
        published = self._ports.of(sandbox)
        released = not published.held
        return Changed(published.publications(), (), released, (), self._naming.answers(sandbox))

    def attached(self) -> set[str]:
        """Whoever has anything here."""
        return {*self._endpoints, *self._ports.sandboxes()}

    def resume(self, live: Mapping[str, SandboxWant]) -> None:
        """The living answer to their names again, and nobody else does."""
        for sandbox, want in live.items():
            if sandbox in self._endpoints:
                self._endpoints[sandbox] = tuple(named(one, want.names) for one in self._endpoints[sandbox])
        self._naming.recall({sandbox: self.endpoints(sandbox) for sandbox in live})

    def _read_rows(self) -> None:
        for row in self._rows.endpoints():
            config = self._rows.network(row.network)
            if config is not None:
                self._endpoints[row.sandbox] = (*self.endpoints(row.sandbox), endpoint_of(config, row))

    # ---- steps ----

    async def _open(self, network: str) -> None:
        config = self._rows.network(network)
        if config is not None:
            await self._host.open_again(config, [rule for rule in self.rules() if rule.link == config.link])

    def _allocate(self, sandbox: str, want: SandboxWant, undo: AsyncExitStack) -> tuple[Endpoint, ...]:
        taken: list[str] = []
        endpoints = []
        for one in want.endpoints:
            endpoints.append(self._allocate_one(sandbox, one, taken, want.names, undo))
            taken.append(endpoints[-1].interface)
        return tuple(endpoints)

    def _allocate_one(
        self, sandbox: str, want: EndpointWant, taken: Sequence[str], names: Sequence[str], undo: AsyncExitStack
    ) -> Endpoint:
        config = self._rows.network(want.network)
        interface = interface_name(config, want, taken) if config is not None else ""
        row = self._rows.allocate(sandbox, want, interface)
        undo.callback(self._rows.release, sandbox, want.network)
        assert config is not None, "an address of it was given"
        return named(self._new_endpoint(config, row), names)

    def _new_endpoint(self, config: NetworkConfig, row: EndpointRow) -> Endpoint:
        return endpoint_of(config, row)._replace(familiar=self._rows.is_familiar(row))

    async def _tell(
        self,
        sandbox: str,
        endpoints: Sequence[Endpoint],
        want: SandboxWant,
        netns_fd: int,
        sockets: ResolverSockets | None,
        undo: AsyncExitStack,
    ) -> list[Done]:
        """Names: the sockets on which it asks, what it may know, and that others know it."""
        mine = [one for one in endpoints if has_names(one.network)]
        if not mine:
            if sockets is not None:
                sockets.close()
            return []
        clock = Clock()
        if sockets is None and not self._naming.answers(sandbox):
            sockets = await self._host.whole(lambda: netns.run_inside(netns_fd, prepare_inside), _close_sockets)
        fresh = not self._naming.answers(sandbox)
        self._naming.tell(sandbox, view_of(endpoints, want, bool(gateways(endpoints))), sockets)
        if fresh:
            undo.callback(self._naming.forget, sandbox)
        for one in mine:
            self._naming.add(one)
            undo.callback(self._naming.remove, one)
        spent = clock.lap() // len(mine)
        return [_known_as(one, spent) for one in mine]

    def _remember(self, sandbox: str, endpoints: tuple[Endpoint, ...], published: Published) -> None:
        """The endpoints' rows were written when they were given."""
        self._ports.remember(sandbox, published)
        self._endpoints[sandbox] = endpoints

    def _changed(self, sandbox: str, before: Published, after: Published, steps: Sequence[Done]) -> Changed:
        held = tuple(one for one in after.held if one.fd >= 0)
        publishing = after.publications() if after.leads != before.leads else ()
        released = bool(before.held and not after.held)
        return Changed(publishing, held, released, tuple(steps), self._naming.answers(sandbox))

    @asynccontextmanager
    async def _turn(self, sandbox: str) -> AsyncIterator[None]:
        """One change of a sandbox at a time. An end that comes meanwhile waits, and takes away what was just made."""
        lock = self._turns.setdefault(sandbox, asyncio.Lock())
        async with lock:
            yield


async def _close_sockets(sockets: ResolverSockets) -> None:
    sockets.close()


@contextmanager
def _closed_on_failure(sockets: ResolverSockets | None) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if sockets is not None:
            sockets.close()
        raise


def endpoint_of(config: NetworkConfig, row: EndpointRow) -> Endpoint:
    """From what is stored."""
    four, six = config.around(row.ipv4), config.around(row.ipv6)
    return Endpoint(
        row.id,
        row.sandbox,
        config,
        row.want,
        row.interface,
        row.mac,
        row.ipv4,
        four.subnet.prefixlen if four is not None else 0,
        str(four.gateway or "") if four is not None else "",
        row.ipv6,
        six.subnet.prefixlen if six is not None else 0,
        str(six.gateway or "") if six is not None else "",
    )


def _placed(endpoints: Sequence[Endpoint], want: SandboxWant) -> list[Placed]:
    """Published ports may come to lead to any of them, so each port of a bridge lets its own packets back in."""
    ways = gateways(endpoints)
    return [Placed(one, frozenset(families_of(one, ways)), bool(want.ports)) for one in endpoints]


def _given(endpoint: Endpoint, nanoseconds: int) -> Done:
    return Done("address", f"{_addresses(endpoint)} given by network {endpoint.network.name}", nanoseconds)


def _addresses(endpoint: Endpoint) -> str:
    return " and ".join(address for address in (endpoint.ipv4, endpoint.ipv6) if address) or "no address"


def _known_as(endpoint: Endpoint, nanoseconds: int) -> Done:
    return Done("name", f"{', '.join(endpoint.dns_names)} on network {endpoint.network.name}", nanoseconds)
