"""Links, addresses and routes: rtnetlink(7), netlink(7), linux/if_link.h, linux/rtnetlink.h.

A `Message` is one request as a value, made by the functions below; `Netlink.send` gives any number of them to the
kernel in one call. The kernel carries them out in order and goes on after a refused one; it answers every refusal, and
only the last request asks for an answer when all is well. A socket stays in the network namespace it was opened in.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wardian.kernel.attributes import (
    LINK_HEADER,
    as_number,
    as_text,
    attribute,
    attributes,
    link_header,
    mac_bytes,
    number,
    text,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x4, 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG = 1
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
IFLA_OPERSTATE, IFLA_IFALIAS, IFLA_NET_NS_FD = 16, 20, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA = 1, 2, 5
IFLA_BRPORT_STATE, BR_STATE_FORWARDING = 1, 3
IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS = 29, 8
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_PROTO = 1, 2, 4, 11
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
RT_TABLE_MAIN = 254
RTPROT_BOOT = 3
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST, RTN_LOCAL = 1, 2
RTNH_F_ONLINK = 0x4
IF_OPER_UP = 6
IFF_UP = 0x1

_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")

# A link's counters (packets, and those of IPv6) are a third of what is said of it, and summed up over all processors.
_WITHOUT_COUNTERS = number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)

ANSWER_SECONDS = 10
_DUMPS = 100


class NetlinkError(OSError):
    """The kernel refused a request: errno, and a text that names the operation and the kernel's own words."""


class Message(NamedTuple):
    """One request: `kind` is RTM_*, `operation` says for people what it does."""

    kind: int
    flags: int
    payload: bytes
    operation: str


class Link(NamedTuple):
    """`ready` is RFC 2863's operational state "up"; `forwards`: it is a bridge's port, and passes packets. `alias` is
    free text for people. `peer`: the number of the link below, or of a veth's other end, in that one's namespace.
    """

    ifindex: int
    name: str
    kind: str
    master: int
    mac: str
    mtu: int
    up: bool
    alias: str = ""
    ready: bool = False
    forwards: bool = False
    peer: int = 0


class Address(NamedTuple):
    ifindex: int
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    prefix: int
    origin: int = 0  # who gave it, in their own words (IFA_PROTO); 0: not said, or a kernel before 5.18


class Route(NamedTuple):
    """`destination` of a default route is 0.0.0.0/0 or ::/0; `gateway` is empty for a link's own subnet."""

    destination: ipaddress.IPv4Network | ipaddress.IPv6Network
    gateway: str
    ifindex: int
    table: int


# ---- requests as values ----


def new_bridge(name: str, mac: str) -> Message:
    """A bridge, down. A MAC of its own: else it takes that of its lowest port and changes with the ports."""
    info = attribute(IFLA_INFO_KIND, b"bridge")
    payload = link_header(0, 0, 0) + text(IFLA_IFNAME, name) + attribute(IFLA_ADDRESS, mac_bytes(mac))
    return Message(
        RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        payload + attribute(IFLA_LINKINFO, info),
        f"create bridge {name}",
    )


def new_veth(name: str, master: int, peer: str, peer_netns: int, mtu: int = 0, peer_mac: str = "") -> Message:
    """A veth pair: `name` here, up and a port of link `master` (0: of none); `peer`, down, in another namespace."""
    size = number(IFLA_MTU, mtu) if mtu else b""
    end = link_header(0, 0, 0) + text(IFLA_IFNAME, peer) + number(IFLA_NET_NS_FD, peer_netns) + size
    if peer_mac:
        end += attribute(IFLA_ADDRESS, mac_bytes(peer_mac))
    info = attribute(IFLA_INFO_KIND, b"veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, end))
    payload = link_header(0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name) + size + attribute(IFLA_LINKINFO, info)
    if master:
        payload += number(IFLA_MASTER, master)
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, f"create veth {name} with peer {peer}")


def link_up(index: int, name: str) -> Message:
    return Message(RTM_NEWLINK, 0, link_header(index, IFF_UP, IFF_UP), f"set link {name} up")


def set_mac(index: int, name: str, mac: str) -> Message:
    payload = link_header(index, 0, 0) + attribute(IFLA_ADDRESS, mac_bytes(mac))
    return Message(RTM_NEWLINK, 0, payload, f"set address of link {name} to {mac}")


def delete_link(index: int, name: str) -> Message:
    return Message(RTM_DELLINK, 0, link_header(index, 0, 0), f"delete link {name}")


def new_address(index: int, name: str, address: str, prefix: int, origin: int = 0) -> Message:
    """An IPv4 or IPv6 address on a link, with the subnet's broadcast address for IPv4.

    IPv6 without duplicate address detection (RFC 4862): who gives the address out knows that nobody else has it, and
    a program can bind it at once. `origin`: Address.origin; a kernel that does not know it passes over it.
    """
    interface = ipaddress.ip_interface(f"{address}/{prefix}")
    payload = _address(index, interface, IFA_F_NODAD if interface.version == 6 else 0)
    if interface.version == 4 and prefix < 31:
        payload += attribute(IFA_BROADCAST, interface.network.broadcast_address.packed)
    if origin:
        payload += attribute(IFA_PROTO, bytes([origin]))
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, payload, f"add address {address}/{prefix} to link {name}")


def delete_address(index: int, name: str, address: str, prefix: int) -> Message:
    payload = _address(index, ipaddress.ip_interface(f"{address}/{prefix}"), 0)
    return Message(RTM_DELADDR, 0, payload, f"remove address {address}/{prefix} from link {name}")


def new_route(destination: str, index: int, gateway: str = "", on_link: bool = False, replace: bool = False) -> Message:
    """A route in the main table: `destination` as CIDR, "0.0.0.0/0" for the default route.

    `on_link`: the gateway is reached through the link although no address of it has it in its subnet. `replace` takes
    the place of the route to the same destination.
    """
    network = ipaddress.ip_network(destination)
    scope = RT_SCOPE_UNIVERSE if gateway else RT_SCOPE_LINK
    flags = RTNH_F_ONLINK if on_link else 0
    payload = _ROUTE.pack(
        _family(network.network_address), network.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, flags
    )
    if network.prefixlen:
        payload += attribute(RTA_DST, network.network_address.packed)
    if gateway:
        payload += attribute(RTA_GATEWAY, ipaddress.ip_address(gateway).packed)
    payload += number(RTA_OIF, index)
    how = NLM_F_REPLACE if replace else NLM_F_EXCL
    return Message(RTM_NEWROUTE, NLM_F_CREATE | how, payload, f"add route to {destination}")


# ---- the socket ----


class Netlink:
    """A route netlink socket, in the network namespace of the thread that made it. Used by one thread at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.settimeout(ANSWER_SECONDS)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            try:
                self._socket.setsockopt(SOL_NETLINK, option, 1)
            except OSError:
                pass  # an older kernel: the answers are longer and say less
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, messages: Sequence[Message]) -> None:
        """Carry out `messages` in order. Raises NetlinkError of the first that was refused; the others are done."""
        if not messages:
            return
        first = self._sequence + 1
        data = b"".join(
            self._frame(message, NLM_F_REQUEST | (NLM_F_ACK if message is messages[-1] else 0)) for message in messages
        )
        last = self._sequence
        self._socket.sendto(data, (0, 0))
        refused: NetlinkError | None = None
        while True:
            for kind, flags, sequence, payload in self._receive(messages[-1].operation):
                if kind != NLMSG_ERROR or not first <= sequence <= last:
                    continue
                code = -int(struct.unpack_from("=i", payload)[0])
                if code and refused is None:
                    refused = _refusal(code, messages[sequence - first].operation, flags, payload)
                if sequence == last:
                    if refused is not None:
                        raise refused
                    return

    def links(self) -> list[Link]:
        request = link_header(0, 0, 0) + _WITHOUT_COUNTERS
        return [_parse_link(payload) for payload in self._dump(RTM_GETLINK, request, "list links")]

    def link(self, name: str) -> Link | None:
        """The link of that name, or None."""
        asked = link_header(0, 0, 0) + text(IFLA_IFNAME, name) + _WITHOUT_COUNTERS
        request = Message(RTM_GETLINK, 0, asked, f"look up link {name}")
        self._socket.sendto(self._frame(request, NLM_F_REQUEST), (0, 0))
        while True:
            for kind, flags, sequence, payload in self._receive(request.operation):
                if sequence != self._sequence:
                    continue
                if kind == RTM_NEWLINK:
                    return _parse_link(payload)
                code = -int(struct.unpack_from("=i", payload)[0])
                if code == 19:  # ENODEV
                    return None
                raise _refusal(code, request.operation, flags, payload)

    def addresses(self) -> list[Address]:
        return [
            _parse_address(payload)
            for payload in self._dump(RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0), "list addresses")
        ]

    def routes(self) -> list[Route]:
        """Unicast routes of all tables, without those of type local and broadcast."""
        blank = _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
        found = []
        for payload in self._dump(RTM_GETROUTE, blank, "list routes"):
            if payload[7] == RTN_UNICAST and payload[0] in (socket.AF_INET, socket.AF_INET6):
                found.append(_parse_route(payload))
        return found

    def is_local(self, address: str) -> bool:
        """Whether packets to `address` are for this namespace itself, by its routes (as `ip route get` asks)."""
        place = ipaddress.ip_address(address)
        payload = _ROUTE.pack(_family(place), place.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + attribute(
            RTA_DST, place.packed
        )
        request = Message(RTM_GETROUTE, 0, payload, f"look up the route to {address}")
        self._socket.sendto(self._frame(request, NLM_F_REQUEST), (0, 0))
        while True:
            for kind, _, sequence, answer in self._receive(request.operation):
                if sequence == self._sequence:
                    return kind == RTM_NEWROUTE and answer[7] == RTN_LOCAL

    def _frame(self, message: Message, flags: int) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(message.payload)
        header = _HEADER.pack(length, message.kind, message.flags | flags, self._sequence, 0)
        return header + message.payload + b"\0" * (-length % 4)

    def _receive(self, operation: str) -> Iterator[tuple[int, int, int, bytes]]:
        try:
            data = self._socket.recv(1 << 17)
        except TimeoutError:
            raise NetlinkError(110, f"{operation}: no answer from the kernel for {ANSWER_SECONDS} s") from None
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3

    def _dump(self, kind: int, payload: bytes, operation: str) -> list[bytes]:
        """All answers to a dump. One that a change interrupted (NLM_F_DUMP_INTR) is asked again, a while."""
        for _ in range(_DUMPS):
            found, interrupted = self._dump_once(Message(kind, NLM_F_DUMP, payload, operation))
            if not interrupted:
                return found
        raise NetlinkError(errno.EBUSY, f"{operation}: it changed each of {_DUMPS} times that it was read")

    def _dump_once(self, request: Message) -> tuple[list[bytes], bool]:
        self._socket.sendto(self._frame(request, NLM_F_REQUEST), (0, 0))
        found: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, payload in self._receive(request.operation):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_DONE:
                    return found, interrupted
                if kind == NLMSG_ERROR:
                    raise _refusal(-int(struct.unpack_from("=i", payload)[0]), request.operation, flags, payload)
                found.append(payload)


# ---- bytes ----


def _address(index: int, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface, flags: int) -> bytes:
    raw = interface.ip.packed
    header = _ADDRESS.pack(_family(interface.ip), interface.network.prefixlen, flags, RT_SCOPE_UNIVERSE, index)
    return header + attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw)


def _family(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    return int(socket.AF_INET if address.version == 4 else socket.AF_INET6)


def _parse_link(payload: bytes) -> Link:
    _, _, index, flags, _ = LINK_HEADER.unpack_from(payload)
    found = attributes(payload[LINK_HEADER.size :])
    info = attributes(found.get(IFLA_LINKINFO, b""))
    port = attributes(info.get(IFLA_INFO_SLAVE_DATA, b""))
    return Link(
        index,
        as_text(found.get(IFLA_IFNAME, b"")),
        as_text(info.get(IFLA_INFO_KIND, b"")),
        as_number(found.get(IFLA_MASTER, b"")),
        found.get(IFLA_ADDRESS, b"").hex(":"),
        as_number(found.get(IFLA_MTU, b"")),
        bool(flags & IFF_UP),
        as_text(found.get(IFLA_IFALIAS, b"")),
        found.get(IFLA_OPERSTATE, b"")[:1] == bytes([IF_OPER_UP]),
        port.get(IFLA_BRPORT_STATE, b"")[:1] == bytes([BR_STATE_FORWARDING]),
        as_number(found.get(IFLA_LINK, b"")),
    )


def _parse_address(payload: bytes) -> Address:
    _, prefix, _, _, index = _ADDRESS.unpack_from(payload)
    found = attributes(payload[_ADDRESS.size :])
    place = ipaddress.ip_address(found.get(IFA_LOCAL) or found[IFA_ADDRESS])
    return Address(index, place, prefix, found.get(IFA_PROTO, b"\0")[0])


def _parse_route(payload: bytes) -> Route:
    family, prefix, _, _, table, _, _, _, _ = _ROUTE.unpack_from(payload)
    found = attributes(payload[_ROUTE.size :])
    raw = found.get(RTA_DST) or bytes(4 if family == socket.AF_INET else 16)
    gateway = found.get(RTA_GATEWAY, b"")
    return Route(
        ipaddress.ip_network((raw, prefix)),
        str(ipaddress.ip_address(gateway)) if gateway else "",
        as_number(found.get(RTA_OIF, b"")),
        as_number(found[RTA_TABLE]) if RTA_TABLE in found else table,
    )


def _refusal(code: int, operation: str, flags: int, payload: bytes) -> NetlinkError:
    """An extended acknowledgement carries the kernel's own sentence behind the header that it answers."""
    said = ""
    if flags & NLM_F_ACK_TLVS:
        said = as_text(attributes(payload[4 + _HEADER.size :]).get(NLMSGERR_ATTR_MSG, b""))
    return NetlinkError(code, f"{operation}: {os.strerror(code)}" + (f": {said}" if said else ""))
