"""Endpoints in the kernel: a namespace from the pool, the drivers' steps carried out, undone when one fails.

Used from the loop's thread; the kernel's side runs in the executor that `start` is given, one job at a time.

    plumbing = Plumbing()
    await plumbing.start(executor)
    plumbing.check(config, others)                      can it be? Raises WardianError
    await plumbing.ensure(config, keep=False)           the host's side; the default bridge's pool begins to fill
    plumbed = await plumbing.attach([Placed(…), …])     namespace, steps that ran; the caller owns netns_fd and names
    done = await plumbing.connect(Placed(…), netns_fd)  one more, in a living sandbox
    done = await plumbing.disconnect(endpoint, netns_fd, then=[Placed(…)])    `then`: who has the default routes now
    await plumbing.remove(config)
    await plumbing.close()
"""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple, TypeVar

from wardian.errors import SYSTEM, WardianError
from wardian.kernel import net_sysctls, netlink, netns
from wardian.network import plan
from wardian.network.announcing import Announcer
from wardian.network.drivers import Driver, driver_of, make_drivers
from wardian.network.host import Host
from wardian.network.names import ResolverSockets, prepare_inside
from wardian.network.options import BRIDGE
from wardian.network.plan import Ready
from wardian.network.pool import INTERFACE, Pool, Prepared, prepare, prepare_bare, prepare_given, with_names
from wardian.network.steps import Place, Step, apply
from wardian.network.values import Done, Endpoint, NetworkConfig, NetworkRules

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Placed(NamedTuple):
    """An endpoint, and what of its sandbox goes through it: `gateways` the families (4, 6) whose default route it
    has, `published` whether it has published ports."""

    endpoint: Endpoint
    gateways: frozenset[int] = frozenset()
    published: bool = False


class Plumbed(NamedTuple):
    """`netns_fd` and `names` are the caller's to hand over or close."""

    netns_fd: int
    names: ResolverSockets | None
    steps: tuple[Done, ...]


class Plumbing:
    """The kernel's side of all networks of one engine.

    `make_inside` makes what names are answered by, in a namespace of any network but the default bridge; None: nothing.
    """

    def __init__(self, make_inside: Callable[[], ResolverSockets] | None = prepare_inside) -> None:
        self._make_inside = make_inside
        self._executor: Executor | None = None
        # called in the executor's thread before each change: what else must be right by then (the firewall's rules)
        self.before_use: Callable[[], object] = lambda: None
        self._host: Host | None = None
        self._fillers: tuple[netlink.Netlink, ...] = ()
        self._drivers: Mapping[str, Driver] = {}
        self._joined: Pool | None = None
        self._default: NetworkConfig | None = None
        self._free = Pool(self._prepare_free)
        self._bare = Pool(self._prepare_bare)
        self._announcer = Announcer()

    async def start(self, executor: Executor) -> None:
        """Opens sockets; nothing of the host is changed yet. Once more after `close`, if need be."""
        self._executor = executor
        self._free, self._bare = Pool(self._prepare_free), Pool(self._prepare_bare)
        self._announcer = Announcer()
        # A pool's thread has a socket of its own: one serves one thread at a time.
        host, *fillers = await self._work(lambda: (Host(), netlink.Netlink(), netlink.Netlink()))
        self._host, self._fillers = host, tuple(fillers)
        self._drivers = make_drivers(host)

    async def close(self) -> None:
        """Give up the pools and the sockets. What stands on the host stays."""
        for pool in (self._joined, self._free, self._bare):
            if pool is not None:
                await pool.close()
        self._joined = self._default = None
        await asyncio.to_thread(self._announcer.close)
        for filler in self._fillers:
            filler.close()
        if self._host is not None:
            self._host.close()
        self._host = None
        net_sysctls.let_go()

    @property
    def host(self) -> Host:
        """The host's side, for the executor's thread only."""
        assert self._host is not None, "started before"
        return self._host

    def driver(self, name: str) -> Driver:
        """Raises NOT_FOUND in Docker's words."""
        return driver_of(self._drivers, name)

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        self.driver(config.driver).check(config, others)

    def rules(self, config: NetworkConfig) -> NetworkRules | None:
        return self.driver(config.driver).rules(config)

    async def filled(self) -> None:
        """Wait until the pools that have begun are as full as they are meant to be (benches and tests)."""
        for pool in (self._joined, self._free, self._bare):
            if pool is not None and pool.begun:
                await pool.filled()

    def discard(self) -> None:
        """Throw away what is ready."""
        for pool in (self._joined, self._free, self._bare):
            if pool is not None:
                pool.discard()

    # ---- networks ----

    async def ensure(self, config: NetworkConfig, keep: bool = False) -> None:
        """Make or mend the host's side. Raises WardianError, and leaves what was not there before away."""
        driver = self.driver(config.driver)
        await self._asked(lambda: driver.ensure(config, keep), "make the network", config)
        self._begin_pool(config)

    def _begin_pool(self, config: NetworkConfig) -> None:
        """Namespaces for a network of this kind are made ahead from now on."""
        if config.flag(BRIDGE + "default_bridge", False):
            self._default = config
            if self._joined is None:
                self._joined = Pool(self._prepare_joined)
            self._joined.refill()
        elif config.driver not in ("null", "host"):
            (self._free if self.driver(config.driver).uses_veth else self._bare).refill()

    async def remove(self, config: NetworkConfig) -> None:
        driver = self.driver(config.driver)
        await self._asked(lambda: driver.remove(config), "remove the network", config)

    async def mend(self, config: NetworkConfig) -> bool:
        """See Driver.mend."""
        driver = self.driver(config.driver)
        return await self._asked(lambda: driver.mend(config), "mend the network", config)

    # ---- sandboxes ----

    async def attach(self, placed: Sequence[Placed], given: int = -1) -> Plumbed:
        """A namespace in which all of `placed` are, the first one's link from the pool; or that of the descriptor
        `given`, with nothing from the pool. On failure nothing is left."""
        try:
            prepared = await (self._take(placed[0].endpoint.network) if given < 0 else self._take_given(given, placed))
        except OSError as error:
            raise _failed(error, "set up the network", placed[0].endpoint) from error
        job = asyncio.ensure_future(self._work(lambda: self._attach(prepared, placed)))
        try:
            done = await asyncio.shield(job)
        except asyncio.CancelledError:
            # The thread may be using the sockets: they are closed when it is done with them.
            job.add_done_callback(lambda ended: (ended.cancelled() or ended.exception(), prepared.close()))
            raise
        except OSError as error:
            prepared.close()
            raise _failed(error, "set up the network", placed[0].endpoint) from error
        except BaseException:
            prepared.close()
            raise
        prepared.inner.close()
        return Plumbed(prepared.netns_fd, prepared.names, done)

    async def connect(self, placed: Placed, netns_fd: int) -> tuple[Done, ...]:
        """One more link in the namespace of a living sandbox. On failure it is gone again."""
        endpoint = placed.endpoint
        job = self._within(netns_fd, lambda own: self._connect(placed, own))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job])
            if job.exception() is None:
                await asyncio.wait([self._within(netns_fd, lambda own: self._disconnect(endpoint, own, ()))])
            raise
        except OSError as error:
            raise _failed(error, "connect the network", endpoint) from error

    async def disconnect(self, endpoint: Endpoint, netns_fd: int, then: Sequence[Placed] = ()) -> tuple[Done, ...]:
        """The endpoint's link goes; those of `then` get the default routes that they are said to have."""
        try:
            return await asyncio.shield(self._within(netns_fd, lambda own: self._disconnect(endpoint, own, then)))
        except OSError as error:
            raise _failed(error, "disconnect the network", endpoint) from error

    async def has_left(self, endpoint: Endpoint, netns_fd: int) -> bool:
        """Whether a disconnect that nobody heard the end of took its link away."""
        try:
            return await asyncio.shield(self._within(netns_fd, lambda own: self._has_left(endpoint, own)))
        except OSError as error:
            raise _failed(error, "look at the network", endpoint) from error

    def planned(self, placed: Sequence[Placed]) -> list[Step]:
        """What `attach` would do, with a veth of the pool that has no name yet. Pure."""
        steps: list[Step] = []
        for number, one in enumerate(placed):
            config = one.endpoint.network
            driver = self.driver(config.driver)
            joined = self._default is not None and config.id == self._default.id
            from_pool = driver.uses_veth and number == 0
            ready = Ready("vethw…", INTERFACE, config.link if joined else "") if from_pool else None
            steps += driver.endpoint_steps(one.endpoint, one.gateways, one.published, ready)
        return steps

    # ---- in the executor's thread ----

    def _attach(self, prepared: Prepared, placed: Sequence[Placed]) -> tuple[Done, ...]:
        self.before_use()
        place = Place(self.host.netlink, prepared.inner, prepared.netns_fd)
        if prepared.ifindex:
            place.know({prepared.link: prepared.port}, {INTERFACE: prepared.ifindex})
        steps: list[Step] = []
        for number, one in enumerate(placed):
            driver = self.driver(one.endpoint.network.driver)
            driver.mend(one.endpoint.network)
            ready = _ready(prepared, one.endpoint.network, place) if number == 0 and prepared.ifindex else None
            steps += driver.endpoint_steps(one.endpoint, one.gateways, one.published, ready)
        return self._applied(steps, place)

    def _connect(self, placed: Placed, netns_fd: int) -> tuple[Done, ...]:
        self.before_use()
        endpoint = placed.endpoint
        driver = self.driver(endpoint.network.driver)
        driver.mend(endpoint.network)
        steps = driver.endpoint_steps(endpoint, placed.gateways, placed.published)
        with _inside(netns_fd) as inner:
            place = Place(self.host.netlink, inner, netns_fd)
            there = inner.link(endpoint.interface)
            if there is not None:
                raise FileExistsError(errno.EEXIST, f"the interface {endpoint.interface} is there already")
            try:
                return self._applied(steps, place)
            except BaseException:
                try:
                    apply(driver.leaving_steps(endpoint), place)
                except OSError as error:
                    log.warning("%s of %s is left: %s", endpoint.interface, endpoint.sandbox[:12], error)
                raise

    def _disconnect(self, endpoint: Endpoint, netns_fd: int, then: Sequence[Placed]) -> tuple[Done, ...]:
        with _inside(netns_fd) as inner:
            place = Place(self.host.netlink, inner, netns_fd)
            done = list(apply(self.driver(endpoint.network.driver).leaving_steps(endpoint), place))
            for step in (route for one in then for route in plan.routes(one.endpoint, one.gateways)):
                try:
                    done += apply((step,), place)
                except OSError as error:
                    # Who has NET_ADMIN inside may have renamed the link or set it down: it has left all the same.
                    log.warning("sandbox %s: no %s: %s", endpoint.sandbox[:12], step.describe(), error)
            return tuple(done)

    def _applied(self, steps: Sequence[Step], place: Place) -> tuple[Done, ...]:
        done = apply(steps, place)
        self._announcer.send(place.netns_fd, place.announcements)
        return done

    def _prepare_given(self, netns_fd: int, has_names: bool) -> Prepared:
        prepared = prepare_given(netns_fd)
        return self._with_names(prepared) if has_names else prepared

    def _has_left(self, endpoint: Endpoint, netns_fd: int) -> bool:
        """Who has NET_ADMIN inside may have renamed the link: it is there while anything says so."""
        driver = endpoint.network.driver
        if driver in ("null", "host") or self.host.netlink.link(plan.port_name(endpoint)) is not None:
            return False
        with _inside(netns_fd) as inner:
            return not any(
                one.kind == driver or one.name == endpoint.interface or one.mac == endpoint.mac.lower()
                for one in inner.links()
            )

    # ---- in the threads of the pools ----

    def _prepare_joined(self) -> Prepared:
        """For the default bridge, on which there are no names. Without a master when that is gone: it is mended when
        the namespace is taken, and joined then."""
        assert self._default is not None
        socket, alias = self._fillers[0], plan.alias(self._default)
        bridge = socket.link(self._default.link)
        try:
            return prepare(socket, bridge.ifindex if bridge else 0, alias)
        except netlink.NetlinkError:
            if socket.link(self._default.link) == bridge:
                raise
            return prepare(socket, 0, alias)  # it went that very moment

    def _prepare_free(self) -> Prepared:
        return self._with_names(prepare(self._fillers[1], 0))

    def _prepare_bare(self) -> Prepared:
        return self._with_names(prepare_bare())

    def _with_names(self, prepared: Prepared) -> Prepared:
        return with_names(prepared, self._make_inside) if self._make_inside is not None else prepared

    # ---- the loop's thread ----

    async def _take(self, config: NetworkConfig) -> Prepared:
        if not self.driver(config.driver).uses_veth:
            return await self._bare.take()
        if self._joined is not None and self._default is not None and config.id == self._default.id:
            return await self._joined.take()
        return await self._free.take()

    async def _take_given(self, netns_fd: int, placed: Sequence[Placed]) -> Prepared:
        """Like those of the pools: on the default bridge there are no names. By a descriptor of its own: whoever waits
        may be cancelled and close theirs meanwhile."""
        has_names = self._default is None or placed[0].endpoint.network.id != self._default.id
        own = os.dup(netns_fd)
        job = asyncio.ensure_future(self._work(lambda: self._prepare_given(own, has_names)))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            job.add_done_callback(_throw_away)
            raise

    def _within(self, netns_fd: int, job: Callable[[int], _T]) -> asyncio.Future[_T]:
        """`job` with a descriptor of its own: whoever waits may be cancelled and close theirs meanwhile."""
        own = os.dup(netns_fd)
        future = asyncio.ensure_future(self._work(lambda: job(own)))
        future.add_done_callback(lambda _: os.close(own))
        return future

    async def _asked(self, job: Callable[[], _T], what: str, config: NetworkConfig) -> _T:
        try:
            return await self._work(job)
        except OSError as error:
            raise WardianError(
                SYSTEM,
                f"failed to {what} {config.name}: {error.strerror or error}",
                operation=what,
                subject=config.name,
                errno=error.errno or 0,
            ) from error

    async def _work(self, job: Callable[[], _T]) -> _T:
        assert self._executor is not None, "started before"
        return await asyncio.get_running_loop().run_in_executor(self._executor, job)


def _throw_away(job: "asyncio.Future[Prepared]") -> None:
    """Nobody waits any more for what the thread has made."""
    if not job.cancelled() and job.exception() is None:
        job.result().close()


def _ready(prepared: Prepared, config: NetworkConfig, place: Place) -> Ready:
    joined = prepared.master != 0 and prepared.master == place.outside(config.link)
    return Ready(prepared.link, INTERFACE, config.link if joined else "")


@contextlib.contextmanager
def _inside(netns_fd: int) -> Iterator[netlink.Netlink]:
    """A socket in a namespace that others made."""
    inner = netns.run_inside(netns_fd, netlink.Netlink)
    try:
        yield inner
    finally:
        inner.close()


def _failed(error: OSError, what: str, endpoint: Endpoint) -> WardianError:
    sandbox, network = endpoint.sandbox[:12], endpoint.network
    return WardianError(
        SYSTEM,
        f"failed to {what} {network.name} of {sandbox} on {network.link}: {error.strerror or error}",
        operation=what,
        subject=endpoint.sandbox,
        errno=error.errno or 0,
    )
