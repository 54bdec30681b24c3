"""Network namespaces made ready before anyone asks: eth0 inside and up, lo up, no address yet.

There are three kinds. The default bridge's are ports of it already, which saves a start 0.1 to 0.4 ms (measured:
setting a link's master waits for the kernel's other work on links). Those of other networks have no master until they
are taken, so that one pool serves any number of bridges; where names are answered inside, that is made ready too. Those
for macvlan and ipvlan have no eth0, as its name is wanted.

Making one takes milliseconds, most of them in the kernel; a start should not wait for that. A namespace here is held by
its descriptor only, so those of an engine that dies vanish with it, links and all. Nothing is ever deleted: closing a
descriptor hands the work to the kernel.

eth0 is up before it is taken, because a bridge port begins to forward only some time after its other end came up: a
container's first packet would be lost, and asked again a second later. It keeps quiet meanwhile: no address, no IPv6.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from wardian.kernel import links, netlink, netns
from wardian.network.names import ResolverSockets

log = logging.getLogger(__name__)

SIZE = 4
# Refilling waits a moment, so that it does not compete with the start that emptied the place.
REFILL_AFTER_SECONDS = 0.02
INTERFACE = "eth0"
LOOPBACK = 1  # the number that lo has in every namespace: net/core/dev.c, LOOPBACK_IFINDEX


class Prepared(NamedTuple):
    """A namespace ready to be taken. `inner` is a netlink socket inside it; both descriptors keep it alive.

    `ifindex` is that of its eth0 (0: it has none), `link` and `port` are the name and the number of eth0's other end on
    the host, `master` is the number of the bridge which that is joined to (0: none). `names` are
    the sockets inside that names are answered by.
    """

    netns_fd: int
    inner: netlink.Netlink
    ifindex: int = 0
    master: int = 0
    link: str = ""
    port: int = 0
    names: ResolverSockets | None = None

    def close(self) -> None:
        if self.names is not None:
            self.names.close()
        self.inner.close()
        os.close(self.netns_fd)


def prepare(outer: netlink.Netlink, master: int, alias: str = "") -> Prepared:
    """Make one namespace whose eth0 is joined to `master`, a link of `outer`'s; 0: to none. `alias` is what eth0's
    other end says of itself. Raises OSError, leaves nothing."""
    prepared = prepare_bare()
    try:
        name = f"vethw{secrets.token_hex(4)}"
        outer.send([netlink.new_veth(name, master, INTERFACE, prepared.netns_fd)])
        _without_ipv6(name)
        outer.send([links.settle_port(name, alias)])
        netns.run_inside(prepared.netns_fd, _settle_link)
        eth0 = prepared.inner.link(INTERFACE)
        assert eth0 is not None, "it was just made"
        prepared.inner.send([netlink.link_up(eth0.ifindex, INTERFACE)])
    except BaseException:
        prepared.close()
        raise
    return prepared._replace(ifindex=eth0.ifindex, master=master, link=name, port=eth0.peer)


def prepare_given(netns_fd: int) -> Prepared:
    """The same of a namespace that others made, in a user namespace say: nothing in it but lo, which is up. It takes
    over `netns_fd`: what fails leaves nothing."""
    try:
        return Prepared(netns_fd, netns.run_inside(netns_fd, _with_loopback))
    except BaseException:
        os.close(netns_fd)
        raise


def prepare_bare() -> Prepared:
    """Make one namespace in which only lo is there, and up. Raises OSError, leaves nothing."""
    netns_fd, inner = netns.create(_with_loopback)
    return Prepared(netns_fd, inner)


def with_names(prepared: Prepared, make: Callable[[], ResolverSockets]) -> Prepared:
    """`make`, called in the namespace, prepares it for names. What fails leaves nothing of `prepared`."""
    try:
        return prepared._replace(names=netns.run_inside(prepared.netns_fd, make))
    except BaseException:
        prepared.close()
        raise


def _with_loopback() -> netlink.Netlink:
    inner = netlink.Netlink()
    try:
        inner.send([netlink.link_up(LOOPBACK, "lo")])
    except BaseException:
        inner.close()
        raise
    return inner


def _without_ipv6(port: str) -> None:
    """A port of a bridge needs none of its own, but has a route for multicast, ff00::/8, as soon as its other end is
    up. Whatever changes on any link of the host walks all of those: 0.3 ms with 500, at each start twice."""
    with contextlib.suppress(OSError):  # /proc/sys may be for reading only: then that is what it costs
        netns.write_sysctl(f"ipv6/conf/{port}/disable_ipv6", "1")


def _settle_link() -> None:
    """No IPv6 on an IPv4-only network, said before the link is up: after, it would have announced itself already."""
    netns.write_sysctl(f"ipv6/conf/{INTERFACE}/disable_ipv6", "1")


class Pool:
    """A few prepared namespaces, refilled by a thread of its own. Used from the loop's thread.

    `make` prepares one; it is called in the pool's thread, one call at a time.
    """

    def __init__(self, make: Callable[[], Prepared], size: int = SIZE) -> None:
        self._make = make
        self._size = size
        self._ready: deque[Prepared] = deque()
        self._waiting: deque[asyncio.Future[Prepared]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network-pool")
        self._filling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def begun(self) -> bool:
        """Whether anybody asked for its namespaces yet."""
        return self._filling is not None

    def __len__(self) -> int:
        return len(self._ready)

    async def take(self) -> Prepared:
        """A prepared namespace, now the caller's: at once when one is ready, else when the next is made."""
        if self._ready:
            prepared = self._ready.popleft()
            self._refill_later()
            return prepared
        future: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self.refill()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give(future.result())
            raise

    def refill(self) -> None:
        """Begin to fill, in the background, unless that is under way."""
        self._timer = None
        if not self._closed and (self._filling is None or self._filling.done()):
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def filled(self) -> None:
        """Wait until the pool is as full as it is meant to be (benches and tests)."""
        while len(self._ready) < self._size:
            self.refill()
            assert self._filling is not None
            await asyncio.shield(self._filling)

    def discard(self) -> None:
        """Throw away what is ready: it is joined to a bridge that is no more."""
        while self._ready:
            self._ready.popleft().close()

    async def close(self) -> None:
        """Give up everything ready, and whoever still waits."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._filling is not None:
            await asyncio.wait([self._filling])
        self._refuse(ConnectionAbortedError("the network is being stopped"))
        self.discard()
        self._thread.shutdown()

    def _refill_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(REFILL_AFTER_SECONDS, self.refill)

    async def _fill(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed and (self._waiting or len(self._ready) < self._size):
            try:
                prepared = await loop.run_in_executor(self._thread, self._make)
            except Exception as error:
                if not self._waiting:  # else they hear it
                    log.warning("no network namespace could be made ahead: %s", error)
                self._refuse(error)
                return
            self._give(prepared)

    def _give(self, prepared: Prepared) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(prepared)
                return
        if self._closed:
            prepared.close()
        else:
            self._ready.append(prepared)

    def _refuse(self, error: Exception) -> None:
        """All who wait hear why; the next to come tries again."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
