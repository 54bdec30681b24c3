"""The default bridge: a link of the host's with a private subnet, masqueraded outward, and the endpoints on it.

The kernel's side is done by two threads, one for the hot path and one that fills the pool, because a request may wait
for the kernel's rtnl lock as long as links are being taken down elsewhere; the state file's side is done in the loop's
thread, as the database wants it. An address is written before the kernel hears of it, and a crash in between costs no
more than `recover` gives back.
"""

import asyncio
import errno
import ipaddress
import re
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from wardian.errors import INVALID, NOT_IMPLEMENTED, SYSTEM, UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.kernel import netlink
from wardian.network import addresses
from wardian.network.bridge_state import EndpointRow, NetworkState
from wardian.network.bridge_values import Endpoint, EndpointWant
from wardian.network.host import HostBridge
from wardian.network.pool import INTERFACE, Pool, Prepared
from wardian.network.state import NetworkRows
from wardian.network.values import is_mac

_T = TypeVar("_T")
# IFNAMSIZ is 16 with the terminating zero; the name also stands in nft's text.
_LINK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


class BridgeNetwork:
    """The network "bridge" of one engine. Methods are called in the loop's thread. `pool` is None unless started."""

    def __init__(self, home: Home, rows: NetworkRows) -> None:
        if not _LINK_NAME.fullmatch(home.bridge):
            raise WardianError(INVALID, f"invalid bridge name: {home.bridge!r}", operation="configure the bridge")
        self.link = home.bridge
        self.state = NetworkState(rows)
        self._kernel: HostBridge | None = None
        self._thread: ThreadPoolExecutor | None = None
        self.pool: Pool | None = None

    async def start(self) -> None:
        """Bridge, address, forwarding, rules: made, or mended where they are. The pool fills in the background."""
        if self.pool is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        try:
            self._kernel = await self._work(lambda: HostBridge(self.link))
            keep = bool(self.state.endpoints())
            kernel, stored = self._kernel, self.state.subnet
            subnet = await self._work(lambda: kernel.ensure(stored, keep))
            if subnet != stored:
                self.state.set_subnet(subnet)
        except BaseException:
            self._close_threads()
            raise
        self.pool = Pool(kernel.prepare)
        self.pool.refill()

    async def stop(self, purge: bool | None = None) -> None:
        """Close the pool. `purge` also removes bridge and rules; None: unless somebody's endpoint is on the bridge."""
        purge = not self.state.endpoints() if purge is None else purge
        pool, self.pool = self.pool, None
        try:
            if pool is not None:
                await pool.close()
        finally:
            await self._let_go(purge)

    async def _let_go(self, purge: bool) -> None:
        try:
            if purge and self._kernel is not None:
                await self._work(self._kernel.remove)
        finally:
            self._close_threads()

    def recover(self, live: Collection[str]) -> list[str]:
        """After an engine's restart: forget the endpoints of sandboxes that are gone. Returns whose they were."""
        return self.state.keep_only(live)

    async def acquire(self, sandbox: str, want: EndpointWant = EndpointWant()) -> Endpoint:  # noqa: B008  (a value)
        """An address for `sandbox`, and a namespace in which it is set. The caller owns and closes `netns_fd`.

        Raises WardianError: CONFLICT when the sandbox has an endpoint, UNAVAILABLE when no address is free,
        NOT_IMPLEMENTED for published ports; nothing is left then.
        """
        _check_want(want)
        if self.pool is None or self._kernel is None:
            raise WardianError(UNAVAILABLE, "the network bridge is not started", operation="acquire an endpoint")
        row = self.state.add_endpoint(sandbox, want.mac.lower().replace("-", ":"))
        try:
            netns_fd = await self._take_and_configure(row)
        except OSError as error:
            self.state.remove_endpoint(sandbox)
            raise WardianError(
                SYSTEM,
                f"failed to set up the network of {sandbox[:12]} on bridge {self.link}: {error.strerror or error}",
                operation="acquire an endpoint",
                subject=sandbox,
                errno=error.errno or 0,
            ) from error
        except BaseException:
            self.state.remove_endpoint(sandbox)
            raise
        return self._endpoint(row, netns_fd)

    async def release(self, sandbox: str) -> None:
        """Give the address back, once no process is left in the sandbox: its namespace's end removes the links."""
        self.state.remove_endpoint(sandbox)

    def endpoint(self, sandbox: str) -> Endpoint | None:
        """What `sandbox` has on this network, without a descriptor; None when it has nothing."""
        row = self.state.endpoint(sandbox)
        return self._endpoint(row, -1) if row is not None else None

    @property
    def subnet(self) -> ipaddress.IPv4Network | None:
        """None before the first start."""
        return self.state.subnet

    @property
    def gateway(self) -> str:
        """The bridge's own address: the containers' default route, and what `host-gateway` means."""
        return str(addresses.gateway_of(self.state.subnet)) if self.state.subnet else ""

    def info(self) -> list[str]:
        """What a person should know: rules in other people's chains, firewalls that stand in the way."""
        return self._kernel.warnings() if self._kernel is not None else []

    async def _take_and_configure(self, row: EndpointRow) -> int:
        """A namespace with the endpoint's address in it. What was ready for a bridge that is gone is thrown away."""
        assert self.pool is not None
        for _ in range(3):
            prepared = await self.pool.take()
            if await self._configured(prepared, row):
                prepared.inner.close()
                return prepared.netns_fd
            self.pool.discard()
        raise OSError(errno.ENODEV, f"somebody keeps deleting the link {self.link}")

    async def _configured(self, prepared: Prepared, row: EndpointRow) -> bool:
        """Set the endpoint's address in `prepared`; False, and it is closed, when its bridge was not there any more."""
        job = asyncio.ensure_future(self._work(lambda: self._configure(prepared, row)))
        try:
            joined = await asyncio.shield(job)
        except asyncio.CancelledError:
            # The thread may be using the socket: it is closed when the thread is done with it.
            job.add_done_callback(lambda done: (done.cancelled() or done.exception(), prepared.close()))
            raise
        except BaseException:
            prepared.close()
            raise
        if not joined:
            prepared.close()
        return joined

    def _configure(self, prepared: Prepared, row: EndpointRow) -> bool:
        """Address first, then MAC: with arp_notify, the change of the MAC announces the address."""
        subnet, kernel = self.state.subnet, self._kernel
        assert subnet is not None and kernel is not None
        if kernel.mend() or prepared.master != kernel.ifindex:
            return False
        prepared.inner.send(
            [
                netlink.new_address(prepared.ifindex, INTERFACE, row.address, subnet.prefixlen),
                netlink.set_mac(prepared.ifindex, INTERFACE, row.mac),
                netlink.new_route("0.0.0.0/0", prepared.ifindex, self.gateway),
            ]
        )
        return True

    def _endpoint(self, row: EndpointRow, netns_fd: int) -> Endpoint:
        subnet = self.state.subnet
        assert subnet is not None
        return Endpoint(
            netns_fd,
            row.id,
            row.network,
            self.state.row.name,
            row.address,
            subnet.prefixlen,
            self.gateway,
            row.mac,
            INTERFACE,
        )

    async def _work(self, job: Callable[[], _T]) -> _T:
        assert self._thread is not None
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _close_threads(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


def _check_want(want: EndpointWant) -> None:
    if want.ports:
        raise WardianError(
            NOT_IMPLEMENTED,
            "published ports are not built yet",
            operation="publish a port",
            subject=want.ports[0][0],
            hint="reach the container by its own address from this host",
        )
    if want.address:
        raise WardianError(
            INVALID,
            "user specified IP address is supported on user defined networks only",
            operation="acquire an endpoint",
            subject=want.address,
        )
    if want.mac and not is_mac(want.mac):
        raise WardianError(INVALID, f"invalid MAC address: {want.mac}", operation="acquire an endpoint")
