"""The host's side of all networks of one engine: one thread in which links and rules change, and what it works with.

One thread, because a request may wait for the kernel's rtnl lock as long as links are being taken down elsewhere, and
because sockets to the kernel serve one thread at a time. A start of a container goes there once.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TypeVar

from wardian.errors import UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.kernel.departures import Departures
from wardian.network import forwarding
from wardian.network.borrowed import Borrowed
from wardian.network.firewall import ALL_PASSES, Firewall, Transit, Watch, open_firewall
from wardian.network.firewall.piecemeal import REFUSED, apply_what_can_be, open_again
from wardian.network.link_watch import LinkWatch
from wardian.network.names import prepare_inside
from wardian.network.plumbing import Plumbing
from wardian.network.ports import PortBook
from wardian.network.publishing import PortBoard
from wardian.network.values import NetworkConfig, PortRule, PortWant, ShortWay
from wardian.uncancelled import done

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class HostSide:
    """Methods are called in the loop's thread. Between `start` and `stop` alone there is a thread and a firewall."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._thread: ThreadPoolExecutor | None = None
        self._firewall: Firewall | None = None
        self._watch: Watch | None = None
        self._board: PortBoard | None = None
        self._link_watch: LinkWatch | None = None
        self._turned = forwarding.Turned()
        self._inner: frozenset[int] = frozenset()  # bridges that were for containers and machines when last seen
        self._closed: set[str] = set()  # links whose rules the kernel refused
        self.plumbing = Plumbing(prepare_inside)

    @property
    def started(self) -> bool:
        return self._board is not None

    @property
    def board(self) -> PortBoard:
        assert self._board is not None, "started before"
        return self._board

    def warnings(self) -> list[str]:
        """What a person should know: rules in other people's chains, firewalls that stand in the way."""
        if self._firewall is None:
            return []
        return [*self._firewall.warnings, *forwarding.said(self._turned, not self._home.ip_forward_no_drop)]

    def exposures(self, ports: Sequence[PortWant]) -> list[str]:
        """What other machines will reach despite this host's firewall."""
        return self._firewall.exposures(ports) if self._firewall is not None else []

    async def start(self) -> None:
        """Opens thread and sockets; nothing of the host is changed yet."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        try:
            await self.plumbing.start(self._thread)
            self._firewall = firewall = await self.work(self._open_firewall)
        except BaseException:
            await self.stop()
            raise
        self._board = PortBoard(firewall, PortBook())
        self.plumbing.before_use = firewall.mend

    def _open_firewall(self) -> Firewall:
        home, host = self._home, self.plumbing.host
        self._turned = forwarding.read_turned(home.turned_forwarding)
        host.before_forwarding = self._before_forwarding
        host.borrowed = Borrowed(home.borrowed_bridges)
        return open_firewall(home.bridge, home.network_backend, home.respect_host_firewall, self._transit())

    def _before_forwarding(self, version: int) -> None:
        """In the network's thread. It is kept first, then nothing passes any more, and then the switch is turned."""
        assert self._firewall is not None, "started before"
        self._turned = forwarding.keep_turning(self._home.turned_forwarding, version)
        self._firewall.forbid_transit(self._transit())

    def _transit(self) -> Transit:
        if self._home.ip_forward_no_drop or not self._turned.families:
            return ALL_PASSES
        host = self.plumbing.host
        links = host.netlink.links()
        self._inner = forwarding.inner_bridges(links, self._inner)
        others = sorted(one.name for one in links if one.ifindex in self._inner and one.ifindex not in host.kept)
        return Transit(self._turned.families, forwarding.outer_bridges(links), tuple(others))

    def _see_bridges(self) -> str:
        """In the network's thread, when ports came to or left bridges that are not ours."""
        assert self._firewall is not None, "started before"
        self._firewall.forbid_transit(self._transit())
        return ""

    async def settle(
        self,
        networks: Sequence[NetworkConfig],
        used: Sequence[str],
        ports: Sequence[PortRule],
        short: Mapping[str, frozenset[ShortWay]],
    ) -> None:
        """Make or mend all networks and all rules. What cannot be made of a user's networks and ports stops no
        engine and none of the others."""
        assert self._firewall is not None, "started before"
        firewall, rules = self._firewall, []
        for config in networks:
            try:
                await self.plumbing.ensure(config, keep=config.id in used)
            except WardianError as error:
                if config.name == "bridge":
                    raise
                log.error("network %s cannot be made: %s", config.name, error)
            found = self.plumbing.rules(config)
            rules += [found] if found is not None else []
        links = {one.link for one in rules}
        known = [port for port in ports if port.link in links]
        self._closed = await self.work(lambda: apply_what_can_be(firewall, rules, known))
        try:
            await self.work(lambda: self.board.recall_short_ways(short))
        except REFUSED as error:
            log.error("containers on several networks are not reached from each of them: %s", error)
        self._watch = Watch(firewall, self.work)
        self._watch.start()
        self._link_watch = LinkWatch(self.plumbing.host, await self.work(Departures), self.work, self._see_bridges)
        self._link_watch.start()

    async def open_again(self, config: NetworkConfig, ports: Sequence[PortRule]) -> None:
        """Before a use of a network: one whose rules were refused when the engine started lets nothing in or out, so
        they are tried again, with `ports`, those that lead there. Raises WardianError when they are refused still."""
        if config.link not in self._closed or self._firewall is None:
            return
        firewall, rules = self._firewall, self.plumbing.rules(config)
        assert rules is not None, "they were refused"
        try:
            await self.work(lambda: open_again(firewall, rules, ports))
        except REFUSED as error:
            raise WardianError(
                UNAVAILABLE,
                f"network {config.name} is closed since the engine started, as its rules are refused: {error}",
                operation="open the network",
                subject=config.name,
                hint="another network may have a subnet that overlaps: see `docker network inspect`",
            ) from error
        self._closed.discard(config.link)

    async def stop(self, purge: Sequence[NetworkConfig] = ()) -> None:
        """Let go of thread and sockets. `purge`: networks whose links are removed, and all rules with them."""
        async with AsyncExitStack() as steps:  # carried out from the last to the first, whatever fails
            steps.callback(self._close)
            steps.push_async_callback(self.plumbing.close)
            steps.push_async_callback(self._end_jobs)
            if purge and self._firewall is not None:
                for config in purge:
                    steps.push_async_callback(self.plumbing.remove, config)
                steps.push_async_callback(self.work, functools.partial(self._take_back, [one.link for one in purge]))
            if self._watch is not None:
                steps.push_async_callback(self._watch.stop)
            if self._link_watch is not None:
                steps.push_async_callback(self._link_watch.stop)

    def _take_back(self, links: Sequence[str]) -> None:
        """All rules; and the host is no router again when it was none, unless others may need that by now: then what
        forbids transit stays with it."""
        assert self._firewall is not None, "started before"
        turned = bool(self._turned.families) and not self._home.ip_forward_no_drop
        others = forwarding.others_bridges(self.plumbing.host.netlink.links(), links) if turned else ()
        if turned and not others:
            forwarding.turn_back(self._home.turned_forwarding)
        self._firewall.remove(but_transit=bool(others))

    async def _end_jobs(self) -> None:
        """No job begins any more, and those that began are at their end. Who asked for one may be gone: of a container
        that ended just now, say. Nobody closes a socket, or frees what libnftables has, under a job's hands."""
        thread, self._thread = self._thread, None
        if thread is not None:
            last = asyncio.get_running_loop().run_in_executor(thread, lambda: None)
            thread.shutdown(wait=False)
            await last

    def _close(self) -> None:
        if self._firewall is not None:
            self._firewall.close()
        self._firewall = self._watch = self._link_watch = self._board = None

    async def work(self, job: Callable[[], _T]) -> _T:
        """Run a job in the network's thread."""
        if self._thread is None:
            raise WardianError(UNAVAILABLE, "the networks are not started", operation="network")
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    async def whole(self, job: Callable[[], _T], back: Callable[[_T], Awaitable[None]]) -> _T:
        """`work`, which nobody can stop: who is cancelled meanwhile waits for it and takes `back` what it did."""
        running = asyncio.ensure_future(self.work(job))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await done(running)
            if not running.cancelled() and running.exception() is None:
                await done(asyncio.ensure_future(back(running.result())))
            raise

    # ---- what the catalogue asks of it ----

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        """Raises WardianError for what its driver cannot make."""
        if not self.started:
            raise WardianError(UNAVAILABLE, "the networks are not started", operation="create network")
        self.plumbing.check(config, others)

    async def ensure(self, config: NetworkConfig) -> None:
        await self.plumbing.ensure(config)
        rules = self.plumbing.rules(config)
        if rules is not None and self._firewall is not None:
            firewall = self._firewall
            await self.work(lambda: firewall.add_network(rules))

    async def remove(self, config: NetworkConfig) -> None:
        """Its links first: what they let in has nowhere to go then."""
        self._closed.discard(config.link)
        await self.plumbing.remove(config)
        if config.driver == "bridge" and self._firewall is not None:
            firewall = self._firewall
            await self.work(lambda: firewall.remove_network(config.link))
