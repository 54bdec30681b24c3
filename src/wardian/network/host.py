"""The bridge as the host's kernel has it: link, address, forwarding, rules, and what makes namespaces that join it.

IPv4 forwarding is turned on and stays on: others may rely on it by the time that we go.
"""

import errno
import hashlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from wardian.errors import CONFLICT, UNAVAILABLE, WardianError
from wardian.kernel import links, netlink, netns, nftables
from wardian.network import addresses
from wardian.network.firewall.former import Firewall
from wardian.network.pool import Prepared, prepare

SUBNET_LOCK = "\0wardian-subnet"
SUBNET_LOCK_SECONDS = 10


class HostBridge:
    """A bridge and the sockets to it, in the network namespace of the thread that made this.

    `prepare` is called in the pool's thread, all else in the network's.
    """

    def __init__(self, link: str) -> None:
        self._link = link
        self.ifindex = 0
        self._subnet: ipaddress.IPv4Network | None = None
        self._netlink = netlink.Netlink()
        self._filler = netlink.Netlink()  # the pool's thread has its own: a socket serves one thread at a time
        self._nft = nftables.open_nftables()
        self._generation = nftables.Generation()
        self._seen = -1
        self._firewall = Firewall(self._nft, link)
        self._link_lock = threading.Lock()

    def close(self) -> None:
        self._netlink.close()
        self._filler.close()
        self._nft.close()
        self._generation.close()

    def warnings(self) -> list[str]:
        return self._firewall.warnings

    def ensure(self, stored: ipaddress.IPv4Network | None, keep: bool) -> ipaddress.IPv4Network:
        """Make or mend everything. Returns the subnet: the stored one, unless the host has taken it since.

        `keep`: containers live in the stored one; then it stays, whatever the host did.
        """
        with _subnet_lock():
            index = self._ensure_link(self._netlink)
            taken = _taken(self._netlink, index)
            if stored is not None and (keep or addresses.conflict(stored, taken) is None):
                self._subnet = stored
            else:
                chosen = addresses.choose_subnet(taken)
                assert isinstance(chosen, ipaddress.IPv4Network), "of the default pools"
                self._subnet = chosen
            subnet = self._subnet
            self._ensure_address(self._netlink, index, subnet)
        self.ifindex = index
        netns.write_sysctl("ipv4/ip_forward", "1")
        self._firewall.apply(str(self._subnet))
        self._seen = self._generation.read()
        return subnet

    def mend(self) -> bool:
        """Before each use, for some microseconds: put back what somebody deleted or flushed since the last.

        True when that made the bridge anew: links that were joined to the old one lead nowhere.
        """
        assert self._subnet is not None, "ensured before"
        if self._generation.read() != self._seen:
            self._firewall.mend(str(self._subnet))
            self._seen = self._generation.read()
        return self._mend_link(self._netlink)

    def prepare(self) -> Prepared:
        """One namespace for the pool."""
        self._mend_link(self._filler)
        return prepare(self._filler, self.ifindex)

    def remove(self) -> None:
        """Take back rules and bridge. Containers that still live are cut off."""
        try:
            self._firewall.remove()
        finally:
            link = self._netlink.link(self._link)
            if link is not None and link.kind == "bridge":
                self._netlink.send([netlink.delete_link(link.ifindex, self._link)])

    def _mend_link(self, nl: netlink.Netlink) -> bool:
        assert self._subnet is not None, "ensured before"
        with self._link_lock:
            link = nl.link(self._link)
            if link is not None and link.ifindex == self.ifindex:
                return False
            index = self._ensure_link(nl)
            self._ensure_address(nl, index, self._subnet)
            self.ifindex = index
            return True

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
            nl.send([netlink.new_bridge(self._link, _mac_of_name(self._link))])
            netns.write_sysctl(f"ipv6/conf/{self._link}/disable_ipv6", "1")
            link = nl.link(self._link)
            assert link is not None, "it was just made"
        nl.send([netlink.link_up(link.ifindex, self._link)])
        return link.ifindex

    def _ensure_address(self, nl: netlink.Netlink, index: int, subnet: ipaddress.IPv4Network) -> None:
        gateway = addresses.gateway_of(subnet)
        if not any(one.ifindex == index and one.address == gateway for one in nl.addresses()):
            nl.send([netlink.new_address(index, self._link, str(gateway), subnet.prefixlen)])


class Host:
    """This host's network as the drivers change it, by a socket of the thread that made this (and uses it)."""

    def __init__(self) -> None:
        self.netlink = netlink.Netlink()

    def close(self) -> None:
        self.netlink.close()

    def link(self, name: str) -> netlink.Link:
        """Raises ENODEV with its name."""
        link = self.netlink.link(name)
        if link is None:
            raise netlink.NetlinkError(errno.ENODEV, f"no link {name}")
        return link

    def sysctl(self, name: str, value: str) -> None:
        """Below /proc/sys/net, written when it is another. A kernel that has no such file (no IPv6) needs none."""
        if netns.read_sysctl(name) not in (None, value):
            netns.write_sysctl(name, value)

    def forward_ipv4(self) -> None:
        """It stays on: others may rely on it by the time that we go."""
        self.sysctl("ipv4/ip_forward", "1")

    def forward_ipv6(self) -> None:
        """A host that forwards takes no router advertisements (RFC 4861, 6.2.8): links that did before shall go on
        (accept_ra=2), else it loses its own default route minutes later."""
        if netns.read_sysctl("ipv6/conf/all/forwarding") != "0":
            return
        for link in self.netlink.links():
            at = f"ipv6/conf/{link.name}"
            if netns.read_sysctl(f"{at}/accept_ra") == "1" and netns.read_sysctl(f"{at}/forwarding") == "0":
                netns.write_sysctl(f"{at}/accept_ra", "2")
        for which in ("default", "all"):
            netns.write_sysctl(f"ipv6/conf/{which}/forwarding", "1")

    def join_again(self, alias: str, master: int, isolated: bool) -> None:
        """The ports of a bridge that somebody deleted, found by what they say of themselves, join its successor."""
        for link in self.netlink.links():
            if link.kind == "veth" and link.alias == alias and not link.master:
                messages = [links.set_master(link.ifindex, link.name, master)]
                if isolated:
                    messages.append(links.set_port_flags(link.ifindex, link.name, isolated, hairpin=True))
                self.netlink.send(messages)

    def taken(self, own: int = 0) -> list[addresses.Taken]:
        """The ranges that the host uses, but for those of link `own`."""
        return _taken(self.netlink, own)


def _taken(nl: netlink.Netlink, own: int) -> list[addresses.Taken]:
    """What the host uses, but for the link `own`."""
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


def _mac_of_name(link: str) -> str:
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
