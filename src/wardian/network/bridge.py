"""The default bridge: a link of the host's with a private subnet, masqueraded outward, and the endpoints on it.

The kernel's side is done by two threads, one for the hot path and one that fills the pool, because a request may wait
for the kernel's rtnl lock as long as links are being taken down elsewhere; the state file's side is done in the loop's
thread, as the database wants it. An address is written before the kernel hears of it, and a crash in between costs no
more than `recover` gives back.
"""

import asyncio
import hashlib
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from wardian.database import Database
from wardian.errors import CONFLICT, INVALID, NOT_IMPLEMENTED, SYSTEM, UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.kernel import netlink, netns, nftables
from wardian.network import addresses
from wardian.network.firewall import Firewall
from wardian.network.pool import INTERFACE, Pool, Prepared, prepare
from wardian.network.state import EndpointRow, NetworkState
from wardian.network.values import Endpoint, EndpointWant

_T = TypeVar("_T")
# IFNAMSIZ is 16 with the terminating zero; the name also stands in nft's text.
_LINK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
SUBNET_LOCK = "\0wardian-subnet"
SUBNET_LOCK_SECONDS = 10


class BridgeNetwork:
    """The network "bridge" of one engine. Methods are called in the loop's thread."""

    def __init__(self, home: Home, database: Database) -> None:
        if not _LINK_NAME.fullmatch(home.bridge):
            raise WardianError(INVALID, f"invalid bridge name: {home.bridge!r}", operation="configure the bridge")
        self.link = home.bridge
        self.state = NetworkState(database, "bridge", "bridge")
        self._kernel: _Kernel | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._pool: Pool | None = None

    async def start(self) -> None:
        """Bridge, address, forwarding, rules: made, or mended where they are. The pool fills in the background."""
        if self._pool is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        try:
            self._kernel = await self._work(lambda: _Kernel(self.link))
            keep = bool(self.state.endpoints())
            kernel, stored = self._kernel, self.state.subnet
            subnet = await self._work(lambda: kernel.ensure(stored, keep))
            if subnet != stored:
                self.state.set_subnet(subnet)
        except BaseException:
            self._close_threads()
            raise
        self._pool = Pool(lambda: kernel.prepare(subnet))
        self._pool.refill()

    async def stop(self, purge: bool = False) -> None:
        """Close the pool. The bridge and its rules stay for the containers that live on; `purge` removes them too."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
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
        if self._pool is None or self._kernel is None:
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

    async def filled(self) -> None:
        """Wait until the pool is full (benches and tests)."""
        assert self._pool is not None, "started"
        await self._pool.filled()

    async def _take_and_configure(self, row: EndpointRow) -> int:
        assert self._pool is not None and self._kernel is not None
        prepared = await self._pool.take()
        try:
            await self._work(lambda: self._configure(prepared, row))
        except netlink.NetlinkError as error:
            prepared.close()
            if error.errno != 19:  # ENODEV: somebody deleted the links; what else is ready is as dead
                raise
            self._pool.discard()
            prepared = await self._pool.take()
            await self._closing_on_error(prepared, row)
        except BaseException:
            prepared.close()
            raise
        prepared.inner.close()
        return prepared.netns_fd

    async def _closing_on_error(self, prepared: Prepared, row: EndpointRow) -> None:
        try:
            await self._work(lambda: self._configure(prepared, row))
        except BaseException:
            prepared.close()
            raise

    def _configure(self, prepared: Prepared, row: EndpointRow) -> None:
        """Address first, then MAC: with arp_notify, the change of the MAC announces the address."""
        subnet = self.state.subnet
        assert subnet is not None
        prepared.inner.send(
            [
                netlink.new_address(prepared.ifindex, INTERFACE, row.address, subnet.prefixlen),
                netlink.set_mac(prepared.ifindex, INTERFACE, row.mac),
                netlink.new_route("0.0.0.0/0", prepared.ifindex, self.gateway),
            ]
        )

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
    if want.mac and not _valid_mac(want.mac):
        raise WardianError(INVALID, f"invalid MAC address: {want.mac}", operation="acquire an endpoint")


def _valid_mac(text: str) -> bool:
    """Six octets of a single station: the lowest bit of the first would make it a group's."""
    mac = text.lower().replace("-", ":")
    return bool(_MAC.fullmatch(mac)) and not int(mac[:2], 16) & 1


class _Kernel:
    """The bridge in the kernel, and the two sockets to it. Each method runs in one of the network's threads."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._netlink = netlink.Netlink()
        self._filler = netlink.Netlink()  # the pool's thread has its own: a socket serves one thread at a time
        self._nft = nftables.open_nftables()
        self._firewall = Firewall(self._nft, link)
        self._index = 0

    def close(self) -> None:
        self._netlink.close()
        self._filler.close()
        self._nft.close()

    def warnings(self) -> list[str]:
        return self._firewall.warnings

    def ensure(self, stored: ipaddress.IPv4Network | None, keep: bool) -> ipaddress.IPv4Network:
        """Make or mend everything. Returns the subnet: the stored one, unless the host has taken it since.

        `keep`: containers live in the stored one; then it stays, whatever the host did.
        """
        with _subnet_lock():
            index = self._ensure_link(self._netlink)
            taken = self._taken(self._netlink, index)
            if stored is not None and (keep or addresses.conflict(stored, taken) is None):
                subnet = stored
            else:
                subnet = addresses.choose_subnet(taken)
            self._ensure_address(self._netlink, index, subnet)
        self._index = index
        netns.write_sysctl("ipv4/ip_forward", "1")
        self._firewall.apply(str(subnet))
        return subnet

    def prepare(self, subnet: ipaddress.IPv4Network) -> Prepared:
        """One namespace for the pool. A bridge that somebody deleted is made again first."""
        try:
            return prepare(self._filler, self._index)
        except netlink.NetlinkError:
            link = self._filler.link(self._link)
            if link is not None and link.ifindex == self._index:
                raise
        index = self._ensure_link(self._filler)
        self._ensure_address(self._filler, index, subnet)
        self._index = index
        return prepare(self._filler, index)

    def remove(self) -> None:
        """Rules and bridge. Containers that still live are cut off."""
        self._firewall.remove()
        link = self._netlink.link(self._link)
        if link is not None and link.kind == "bridge":
            self._netlink.send([netlink.delete_link(link.ifindex, self._link)])

    def _ensure_link(self, nl: netlink.Netlink) -> int:
        link = nl.link(self._link)
        if link is not None and link.kind != "bridge":
            raise WardianError(
                CONFLICT,
                f"the link {self._link} exists and is no bridge",
                operation="start the network bridge",
                subject=self._link,
                hint="name another bridge for this engine",
            )
        if link is None:
            nl.send([netlink.new_bridge(self._link, _bridge_mac(self._link))])
            netns.write_sysctl(f"ipv6/conf/{self._link}/disable_ipv6", "1")
            link = nl.link(self._link)
            assert link is not None, "it was just made"
        nl.send([netlink.link_up(link.ifindex, self._link)])
        return link.ifindex

    def _ensure_address(self, nl: netlink.Netlink, index: int, subnet: ipaddress.IPv4Network) -> None:
        gateway = addresses.gateway_of(subnet)
        if not any(a.ifindex == index and a.address == gateway for a in nl.addresses()):
            nl.send([netlink.new_address(index, self._link, str(gateway), subnet.prefixlen)])

    def _taken(self, nl: netlink.Netlink, own: int) -> list[addresses.Taken]:
        names = {link.ifindex: link.name for link in nl.links()}
        found = []
        for route in nl.routes():
            if route.ifindex != own and isinstance(route.destination, ipaddress.IPv4Network):
                found.append(addresses.Taken(route.destination, f"a route by {names.get(route.ifindex, '?')}"))
        for one in nl.addresses():
            if one.ifindex != own and one.address.version == 4:
                network = ipaddress.IPv4Network(f"{one.address}/{one.prefix}", strict=False)
                found.append(addresses.Taken(network, f"an address of {names.get(one.ifindex, '?')}"))
        return found


def _bridge_mac(link: str) -> str:
    """A locally administered address that follows from the name: the same after a restart, other than a neighbour's."""
    return "02:42:" + hashlib.sha256(link.encode()).digest()[:4].hex(":")


@contextmanager
def _subnet_lock() -> Iterator[None]:
    """Two engines that start at once must not take the same range. The lock is an abstract socket's name (unix(7)):
    it belongs to the network namespace, as the ranges do, and goes with its holder."""
    deadline = time.monotonic() + SUBNET_LOCK_SECONDS
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        while True:
            try:
                lock.bind(SUBNET_LOCK)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise WardianError(
                        UNAVAILABLE,
                        f"another engine has been choosing its subnet for {SUBNET_LOCK_SECONDS} s",
                        operation="choose a subnet",
                        errno=error.errno or 0,
                    ) from error
                time.sleep(0.01)
        yield
