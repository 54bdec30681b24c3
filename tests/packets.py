"""Packets that no kernel would send for us, and what is heard on a link: packet(7). RFC 791, 768, 8200, 4861.

with Ears(netns, "eth0") as ears: … ; assert not ears.heard()
send_frame(netns, "eth0", frame(gateway_mac, own_mac, ipv4("192.0.2.9", "127.0.0.1", UDP, udp(1, 53, b"x"))))
"""

import ipaddress
import socket
import struct
import time
from types import TracebackType
from typing import NamedTuple, Self

from wardian.kernel import netns as namespaces

IGMP, TCP, UDP, ICMPV6, SCTP = 2, 6, 17, 58, 132
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
_ALL = 0x0003  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING


class Heard(NamedTuple):
    """One frame: its EtherType, and for IP the addresses, protocol and ports."""

    kind: int
    source: str = ""
    to: str = ""
    protocol: int = 0
    port: int = 0
    data: bytes = b""


class Ears:
    """All that a link receives (with `sent`, also what goes out by it), from now on."""

    def __init__(self, netns: int, link: str, sent: bool = False) -> None:
        def listen() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            made.bind((link, _ALL))
            return made

        self._socket = namespaces.run_inside(netns, listen)
        self._socket.setblocking(False)
        self._sent = sent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def heard(self, seconds: float = 0.3) -> list[Heard]:
        """Waits `seconds` and returns what came, but for what every kernel sends (ARP, IGMP, neighbour discovery)."""
        time.sleep(seconds)
        found = []
        while True:
            try:
                data, where = self._socket.recvfrom(65536)
            except BlockingIOError:
                return [one for one in found if not _of_the_link(one)]
            if self._sent or where[2] != _OUTGOING:
                found.append(parsed(data))


def _of_the_link(one: Heard) -> bool:
    if one.kind == ARP or one.protocol == IGMP:
        return True
    # Router and neighbour discovery 133-136 (RFC 4861), multicast listener reports 143 (RFC 3810).
    return one.protocol == ICMPV6 and one.data[:1] in (b"\x85", b"\x86", b"\x87", b"\x88", b"\x8f")


def parsed(data: bytes) -> Heard:
    (kind,) = struct.unpack("!H", data[12:14])
    packet = data[14:]
    if kind == IPV4:
        size = (packet[0] & 15) * 4
        return _with_ports(
            Heard(kind, socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]), packet[9], 0, packet[size:])
        )
    if kind == IPV6:
        protocol, rest = packet[6], packet[40:]
        if protocol == 0:  # hop-by-hop options, as multicast listener reports have
            protocol, rest = rest[0], rest[8 + 8 * rest[1] :]
        source, to = (socket.inet_ntop(socket.AF_INET6, part) for part in (packet[8:24], packet[24:40]))
        return _with_ports(Heard(kind, source, to, protocol, 0, rest))
    return Heard(kind)


def _with_ports(one: Heard) -> Heard:
    if one.protocol in (TCP, UDP, SCTP) and len(one.data) >= 4:
        return one._replace(port=struct.unpack("!H", one.data[2:4])[0])
    return one


def send_frame(netns: int, link: str, *frames: bytes) -> None:
    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((link, 0))
            for one in frames:
                out.send(one)

    namespaces.run_inside(netns, send)


def frame(to: str, source: str, packet: bytes) -> bytes:
    """An Ethernet frame around an IP packet."""
    kind = IPV6 if packet[0] >> 4 == 6 else IPV4
    return bytes.fromhex((to + source).replace(":", "")) + struct.pack("!H", kind) + packet


def ip_packet(source: str, to: str, protocol: int, payload: bytes, hops: int = 64) -> bytes:
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(to)
    if first.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops)
        return head + first.packed + second.packed + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, hops, protocol, 0) + first.packed + second.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source: str, to: str, source_port: int, port: int, data: bytes) -> bytes:
    """A UDP packet, IP header and all."""
    length = 8 + len(data)
    bare = struct.pack("!HHHH", source_port, port, length, 0) + data
    total = checksum(_pseudo(source, to, UDP, length) + bare) or 0xFFFF
    return ip_packet(source, to, UDP, bare[:6] + struct.pack("!H", total) + data)


def tcp_syn(source: str, to: str, source_port: int, port: int) -> bytes:
    """The first packet of a TCP connection, IP header and all (RFC 9293)."""
    bare = struct.pack("!HHIIBBHHH", source_port, port, 1000, 0, 5 << 4, 2, 64240, 0, 0)
    total = checksum(_pseudo(source, to, TCP, len(bare)) + bare)
    return ip_packet(source, to, TCP, bare[:16] + struct.pack("!H", total) + bare[18:])


def sctp_init(source_port: int, port: int) -> bytes:
    """The first packet of an SCTP association, without its IP header (RFC 9260, 3.3.2)."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 1)
    head = struct.pack("!HHI", source_port, port, 0)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def crc32c(data: bytes) -> int:
    """RFC 9260, appendix A: as Ethernet's, with the polynomial of Castagnoli."""
    total = 0xFFFFFFFF
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF


def router_advertisement(source: str, mac: str, prefix: str) -> bytes:
    """What a router says: use me as default route, and make yourselves addresses from this prefix. RFC 4861, 4.2."""
    network = ipaddress.IPv6Network(prefix)
    head = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    link = struct.pack("!BB", 1, 1) + bytes.fromhex(mac.replace(":", ""))
    option = struct.pack("!BBBBIII", 3, 4, network.prefixlen, 0xC0, 86400, 14400, 0) + network.network_address.packed
    bare = head + link + option
    total = checksum(_pseudo(source, "ff02::1", ICMPV6, len(bare)) + bare)
    return ip_packet(source, "ff02::1", ICMPV6, bare[:2] + struct.pack("!H", total) + bare[4:], hops=255)


def _pseudo(source: str, to: str, protocol: int, length: int) -> bytes:
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(to)
    if first.version == 6:
        return first.packed + second.packed + struct.pack("!II", length, protocol)
    return first.packed + second.packed + struct.pack("!BBH", 0, protocol, length)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
