"""Which of the host's ports lead to each sandbox, and where. Each change is whole, and is taken back when a later step
of the same operation fails.

What a change does to sockets and rules is in publishing.py, and is done in the network's thread.
"""

from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack

from wardian.errors import WardianError
from wardian.network.gateways import gateways, host_binding, leads_somewhere, target_of
from wardian.network.hostside import HostSide
from wardian.network.ports import close_ports
from wardian.network.publishing import (
    NOTHING,
    Published,
    describe_host_port,
    describe_lead,
    of_endpoint,
    short_ways,
    stored,
)
from wardian.network.state import NetworkRows
from wardian.network.values import Done, Endpoint, PortRule, SandboxWant, ShortWay


class PublishedPorts:
    """Of all sandboxes. Methods are called in the loop's thread, one change of a sandbox at a time."""

    def __init__(self, rows: NetworkRows, host: HostSide) -> None:
        self._rows = rows
        self._host = host
        self._published = {sandbox: stored(found) for sandbox, found in rows.published().items()}

    def of(self, sandbox: str) -> Published:
        return self._published.get(sandbox, NOTHING)

    def sandboxes(self) -> set[str]:
        """Those that have any."""
        return set(self._published)

    def rules(self) -> list[PortRule]:
        """Where all of them lead."""
        return [rule for one in self._published.values() for rule in one.rules]

    def remember(self, sandbox: str, published: Published) -> None:
        """This is what holds from now on: in memory, and in the rows."""
        if published.leads != self.of(sandbox).leads:
            self._rows.set_published(sandbox, published.leads)
        self._published.pop(sandbox, None)
        if published.held:
            self._published[sandbox] = published.handed_over()

    # ---- changes ----

    async def publish(
        self, endpoints: Sequence[Endpoint], want: SandboxWant, undo: AsyncExitStack
    ) -> tuple[Published, list[Done]]:
        """Sockets and rules for what is asked, where an endpoint leads outward."""
        ways = gateways(endpoints)
        target = target_of(ways)
        if not want.ports or not leads_somewhere(target):
            return NOTHING, []
        binding = host_binding(ways)
        board = self._host.board
        try:
            published, done = await self._host.whole(
                lambda: board.publish(want.ports, target, binding), lambda made: self._unpublish(made[0])
            )
        except WardianError as error:
            leading = next(iter(ways.values()))
            raise of_endpoint(error, next(iter(want.names), leading.sandbox), leading.id) from error
        undo.push_async_callback(self._unpublish, published)
        return published, list(done)

    async def _unpublish(self, published: Published) -> None:
        try:
            await self._host.work(lambda: self._host.board.withdraw(published))
        finally:
            close_ports(published.held)

    async def lead(
        self, sandbox: str, after: Sequence[Endpoint], whole: SandboxWant, undo: AsyncExitStack
    ) -> tuple[Published, list[Done]]:
        """Of a sandbox whose endpoints change: those that it has lead to where it is outward now, and are given back
        when that is nowhere."""
        before, board = self.of(sandbox), self._host.board
        target = target_of(gateways(after))
        if not before.held:
            return await self.publish(after, whole, undo)
        if not leads_somewhere(target):

            def restored(_: None = None) -> Awaitable[None]:
                return self._host.work(lambda: board.restore(before))

            await self._host.whole(lambda: board.withdraw(before), restored)
            undo.push_async_callback(restored)
            return NOTHING, [Done("rule", f"{describe_host_port(one)} leads nowhere", 0) for one in before.leads]

        def led_back(led: Published) -> Awaitable[None]:
            return self._host.work(lambda: board.lead_back(led, before))

        led = await self._host.whole(lambda: board.lead(before, target), led_back)
        undo.push_async_callback(led_back, led)
        return led, [Done("rule", describe_lead(one), 0) for one in led.leads if one not in before.leads]

    async def withdraw(self, sandbox: str, endpoints: Sequence[Endpoint]) -> None:
        """The sandbox, which had these endpoints, is gone: its ports lead nowhere, whatever fails."""
        short = self.short_ways(sandbox, endpoints)
        published = self._published.pop(sandbox, NOTHING)
        async with AsyncExitStack() as steps:  # carried out from the last to the first
            if published.held:
                steps.callback(self._rows.set_published, sandbox, ())
            if short:
                steps.push_async_callback(self._host.work, lambda: self._host.board.forget_short_ways(sandbox))
            if published.rules:
                await self._host.work(lambda: self._host.board.withdraw(published))

    # ---- short ways ----

    def short_ways(self, sandbox: str, endpoints: Sequence[Endpoint]) -> frozenset[ShortWay]:
        """To a sandbox with these endpoints by the ports that it has."""
        return short_ways(self.of(sandbox).rules, endpoints)

    async def see_short_ways(
        self,
        sandbox: str,
        before: Sequence[Endpoint],
        after: Sequence[Endpoint],
        published: Published,
        undo: AsyncExitStack,
    ) -> None:
        """Its endpoints and its ports change to `after` and `published`."""
        had, has = self.short_ways(sandbox, before), short_ways(published.rules, after)
        if had == has:
            return

        def back(_: None = None) -> Awaitable[None]:
            return self._host.work(lambda: self._host.board.know_short_ways({sandbox: had}))

        await self._host.whole(lambda: self._host.board.know_short_ways({sandbox: has}), back)
        undo.push_async_callback(back)
