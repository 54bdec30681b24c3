"""What is done for an endpoint, one kernel operation each, as values: planned first, then applied, then shown.

A step names links, never numbers, so that a plan is pure and can be compared; `apply` finds the numbers. `kind` is one
of link, address, route and sysctl. What a step needs of the world is in a `Place`.
"""

import errno
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from wardian.kernel import links, netlink, netns
from wardian.network.announcing import Announcement
from wardian.network.values import Done

# What the kernel's worker does after a request: it is waited for, as what comes before that is lost.
READY_SECONDS = 1.0
_READY_STEP = 0.0003


def until(met: Callable[[], bool]) -> None:
    """Waits a while. After that nothing but the first second is lost, which is no error."""
    deadline = time.monotonic() + READY_SECONDS
    while not met() and time.monotonic() < deadline:
        time.sleep(_READY_STEP)


class Place:
    """A sandbox's namespace and the host around it. `host` and `inner` are sockets in each, one thread's at a time.

    `netns_fd` stays the caller's. A link is looked up once; `know` spares even that. `announcements` are what the
    neighbours are to be told when the steps are done.
    """

    def __init__(self, host: netlink.Netlink, inner: netlink.Netlink, netns_fd: int) -> None:
        self.host = host
        self.inner = inner
        self.netns_fd = netns_fd
        self.announcements: list[Announcement] = []
        self._inside: dict[str, int] = {}
        self._outside: dict[str, int] = {}

    def outside(self, name: str) -> int:
        """The number of a host's link. Raises ENODEV with its name."""
        if name not in self._outside:
            self._outside[name] = _index(self.host, name)
        return self._outside[name]

    def inside(self, name: str) -> int:
        if name not in self._inside:
            self._inside[name] = _index(self.inner, name)
        return self._inside[name]

    def know(self, outside: Mapping[str, int], inside: Mapping[str, int]) -> None:
        """The numbers of links, by name."""
        self._outside.update(outside)
        self._inside.update(inside)

    def forget(self, name: str) -> None:
        """The name is no longer that link's."""
        self._inside.pop(name, None)


class Step(Protocol):
    @property
    def kind(self) -> str: ...

    def describe(self) -> str:
        """What it does, for people: one line."""

    def do(self, place: Place) -> None:
        """Carry it out. Raises OSError that names the operation."""


# ---- links ----


class NewVeth(NamedTuple):
    """A pair: `link` on the host, a port of `master`; `interface` inside, with its MAC, down."""

    link: str
    master: str
    interface: str
    mac: str
    mtu: int = 0
    alias: str = ""
    kind: str = "link"

    def describe(self) -> str:
        size = f", MTU {self.mtu}" if self.mtu else ""
        return f"veth {self.link} on bridge {self.master}, its peer {self.interface} ({self.mac}) inside{size}"

    def do(self, place: Place) -> None:
        master, within = place.outside(self.master), place.netns_fd
        veth = netlink.new_veth(self.link, master, self.interface, within, self.mtu, self.mac)
        place.host.send([veth, links.settle_port(self.link, self.alias)])


class NewMacvlan(NamedTuple):
    interface: str
    parent: str
    mode: str
    mac: str
    mtu: int = 0
    kind: str = "link"

    def describe(self) -> str:
        return f"macvlan {self.interface} ({self.mac}, mode {self.mode}) on {self.parent} inside"

    def do(self, place: Place) -> None:
        parent = place.outside(self.parent)
        place.host.send([links.new_macvlan(self.interface, parent, self.mode, place.netns_fd, self.mac, self.mtu)])


class NewIpvlan(NamedTuple):
    interface: str
    parent: str
    mode: str
    flag: str
    mtu: int = 0
    kind: str = "link"

    def describe(self) -> str:
        return f"ipvlan {self.interface} (mode {self.mode}, {self.flag}) on {self.parent} inside"

    def do(self, place: Place) -> None:
        parent = place.outside(self.parent)
        place.host.send([links.new_ipvlan(self.interface, parent, self.mode, self.flag, place.netns_fd, self.mtu)])


class Join(NamedTuple):
    """A host's link becomes a port of a bridge, and says in its alias whose it is."""

    link: str
    master: str
    alias: str = ""
    kind: str = "link"

    def describe(self) -> str:
        return f"join {self.link} to bridge {self.master}"

    def do(self, place: Place) -> None:
        master = place.outside(self.master)
        place.host.send([links.set_master(place.outside(self.link), self.link, master, self.alias)])


class AlsoNamed(NamedTuple):
    """A host's link gets a second name, which says whose it is: what goes on inside does not change that."""

    link: str
    name: str
    kind: str = "link"

    def describe(self) -> str:
        return f"name {self.link} {self.name} as well"

    def do(self, place: Place) -> None:
        place.host.send([links.also_named(place.outside(self.link), self.link, self.name)])


class PortFlags(NamedTuple):
    """`isolated`: no way to other isolated ports (icc=false). `hairpin`: back in through its own published port."""

    link: str
    isolated: bool
    hairpin: bool
    kind: str = "link"

    def describe(self) -> str:
        flags = [name for name, on in (("isolated", self.isolated), ("hairpin", self.hairpin)) if on]
        return f"port {self.link} {' and '.join(flags) or 'without flags'}"

    def do(self, place: Place) -> None:
        index = place.outside(self.link)
        place.host.send([links.set_port_flags(index, self.link, self.isolated, self.hairpin)])


class Forwarding(NamedTuple):
    """Wait until a bridge and its port pass packets: one before that is lost, and asked for again a second later.

    The bridge itself is up only with the first port that is.
    """

    link: str
    master: str
    kind: str = "link"

    def describe(self) -> str:
        return f"{self.master} passes packets of {self.link}"

    def do(self, place: Place) -> None:
        until(lambda: self._passes(place))

    def _passes(self, place: Place) -> bool:
        port = place.host.link(self.link)
        if port is None or not port.forwards:
            return False
        master = place.host.link(self.master)
        return master is not None and master.ready


class Rename(NamedTuple):
    """A link inside gets its final name; down meanwhile, as kernels before 6.2 want it."""

    interface: str
    name: str
    kind: str = "link"

    def describe(self) -> str:
        return f"rename {self.interface} to {self.name} inside"

    def do(self, place: Place) -> None:
        index = place.inside(self.interface)
        place.inner.send(
            [
                links.link_down(index, self.interface),
                links.rename(index, self.interface, self.name),
                netlink.link_up(index, self.name),
            ]
        )
        place.forget(self.interface)


class Mtu(NamedTuple):
    """The size of packets at both ends: `link` on the host, `interface` inside."""

    link: str
    interface: str
    mtu: int
    kind: str = "link"

    def describe(self) -> str:
        return f"MTU {self.mtu} for {self.interface} and {self.link}"

    def do(self, place: Place) -> None:
        place.host.send([links.set_mtu(place.outside(self.link), self.link, self.mtu)])
        place.inner.send([links.set_mtu(place.inside(self.interface), self.interface, self.mtu)])


class Mac(NamedTuple):
    """Set a link's MAC, before it has addresses."""

    interface: str
    mac: str
    kind: str = "link"

    def describe(self) -> str:
        return f"MAC {self.mac} for {self.interface}"

    def do(self, place: Place) -> None:
        place.inner.send([netlink.set_mac(place.inside(self.interface), self.interface, self.mac)])


class Announce(NamedTuple):
    """The neighbours hear, once all steps are done, whose the addresses are now: see `announcing`."""

    interface: str
    mac: str
    addresses: tuple[str, ...]
    kind: str = "link"

    def describe(self) -> str:
        return f"announce {', '.join(self.addresses)} at {self.mac} on {self.interface}"

    def do(self, place: Place) -> None:
        place.announcements.append(Announcement(self.interface, self.mac, self.addresses))


class Behind(NamedTuple):
    """The bridge knows at once behind which of its ports a MAC is: one that had it before may not be gone yet. To
    announce it would teach the bridge the same, and each of its ports would pass that on."""

    link: str
    master: str
    mac: str
    kind: str = "link"

    def describe(self) -> str:
        return f"{self.master} knows {self.mac} behind {self.link}"

    def do(self, place: Place) -> None:
        """A port that does not pass packets yet learns nothing: the first packet teaches it."""
        try:
            place.host.send([links.set_forwarding(place.outside(self.link), self.link, self.mac)])
        except OSError as error:
            if error.errno != errno.EPERM:
                raise


class Up(NamedTuple):
    interface: str
    kind: str = "link"

    def describe(self) -> str:
        return f"{self.interface} up"

    def do(self, place: Place) -> None:
        place.inner.send([netlink.link_up(place.inside(self.interface), self.interface)])


class RemovePort(NamedTuple):
    """A bridge's port goes from the host, and with it its other end, whatever that is called by now and wherever it is:
    who has NET_ADMIN inside may have renamed it or moved it on. No error when it is gone.

    A port without the second name is an older release's: it is looked for inside, among the links whose other end is a
    port of the bridge. That one is deleted inside, as the numbers of links inside are the container's to choose.
    """

    link: str
    master: str
    interface: str
    kind: str = "link"

    def describe(self) -> str:
        return f"remove {self.interface} by its port {self.link} on bridge {self.master}"

    def do(self, place: Place) -> None:
        port = place.host.link(self.link)
        if port is not None:
            place.host.send([netlink.delete_link(port.ifindex, self.link)])
        else:
            _delete_inside(place, self._unnamed(place))
        place.forget(self.interface)

    def _unnamed(self, place: Place) -> list[netlink.Link]:
        master = place.host.link(self.master)
        if master is None:
            return []
        ends = {(one.peer, one.ifindex) for one in place.host.links() if one.master == master.ifindex}
        return [one for one in place.inner.links() if one.kind == "veth" and (one.ifindex, one.peer) in ends]


class RemoveChild(NamedTuple):
    """A parent's child inside goes: the one of that name, else, when somebody inside renamed it, all that hang on the
    parent. No error when it is gone. `of` is "macvlan" or "ipvlan"."""

    interface: str
    parent: str
    of: str
    kind: str = "link"

    def describe(self) -> str:
        return f"remove {self.interface}, a {self.of} of {self.parent}"

    def do(self, place: Place) -> None:
        parent = place.host.link(self.parent)
        inside = [one for one in place.inner.links() if one.kind == self.of]
        # A macvlan's child hangs on that one's own parent in the kernel: then only the name is left to go by.
        children = [one for one in inside if parent is not None and one.peer == parent.ifindex]
        named = [one for one in children or inside if one.name == self.interface]
        _delete_inside(place, named or children)
        place.forget(self.interface)


def _delete_inside(place: Place, found: Sequence[netlink.Link]) -> None:
    place.inner.send([netlink.delete_link(one.ifindex, one.name) for one in found])


# ---- addresses, routes, sysctls ----


class Address(NamedTuple):
    interface: str
    address: str
    prefix: int
    kind: str = "address"

    def describe(self) -> str:
        return f"{self.address}/{self.prefix} on {self.interface}"

    def do(self, place: Place) -> None:
        index = place.inside(self.interface)
        place.inner.send([netlink.new_address(index, self.interface, self.address, self.prefix)])


class Received(NamedTuple):
    """Wait until what is sent to an IPv6 address is taken. The kernel's worker makes the route for that, some moments
    after the address is there: an answer before that is lost, and asked for again a second later."""

    address: str
    kind: str = "address"

    def describe(self) -> str:
        return f"packets to {self.address} are taken"

    def do(self, place: Place) -> None:
        until(lambda: place.inner.is_local(self.address))


class Route(NamedTuple):
    """Takes the place of the route to the same destination. No `gateway`: all of it is reached on the link."""

    destination: str
    interface: str
    gateway: str = ""
    on_link: bool = False
    kind: str = "route"

    def describe(self) -> str:
        via = f" via {self.gateway}" if self.gateway else ""
        return f"{_called(self.destination)}{via} by {self.interface}" + (" (on link)" if self.on_link else "")

    def do(self, place: Place) -> None:
        index = place.inside(self.interface)
        place.inner.send([netlink.new_route(self.destination, index, self.gateway, on_link=self.on_link, replace=True)])


class Sysctl(NamedTuple):
    """A file below /proc/sys/net inside; one that this kernel does not have is no error when not `needed`."""

    name: str
    value: str
    needed: bool = False
    kind: str = "sysctl"

    def describe(self) -> str:
        return f"net.{self.name.replace('/', '.')}={self.value}"

    def do(self, place: Place) -> None:
        """In the namespace: `apply` sees to that."""
        try:
            there = netns.write_sysctl(self.name, self.value)
        except OSError as error:
            raise OSError(error.errno, f"set {self.describe()}: {error.strerror}") from error
        if not there and self.needed:
            raise OSError(errno.ENOENT, f"set {self.describe()}: this kernel has no such sysctl")


def apply(steps: Sequence[Step], place: Place) -> tuple[Done, ...]:
    """Carry out `steps` in order; returns what each cost. Raises OSError of the first that fails, naming it."""
    if any(isinstance(step, Sysctl) for step in steps):
        return netns.run_inside(place.netns_fd, lambda: _carry_out(steps, place))
    return _carry_out(steps, place)


def _carry_out(steps: Sequence[Step], place: Place) -> tuple[Done, ...]:
    done = []
    for step in steps:
        begin = time.monotonic_ns()
        step.do(place)
        done.append(Done(step.kind, step.describe(), time.monotonic_ns() - begin))
    return tuple(done)


def _index(socket: netlink.Netlink, name: str) -> int:
    link = socket.link(name)
    if link is None:
        raise netlink.NetlinkError(errno.ENODEV, f"no link {name}")
    return link.ifindex


def _called(destination: str) -> str:
    if ipaddress.ip_network(destination).prefixlen:
        return f"route to {destination}"
    return "default route" + (" (IPv6)" if ":" in destination else "")
