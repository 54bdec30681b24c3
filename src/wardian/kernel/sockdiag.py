"""Which sockets the calling thread's network namespace has: sock_diag(7), linux/inet_diag.h."""

import ipaddress
import os
import socket
import struct
from typing import NamedTuple

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
TCP_LISTEN = 10
_ALL_STATES = 0xFFFFFFFF  # newer kernels show bound sockets that do not listen too (TCP_BOUND_INACTIVE, Linux 6.8)
ANSWER_SECONDS = 5

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_ID = struct.Struct("!HH16s16s12x")  # ports and addresses in network order; then the link and a cookie
_NUMBERS = struct.Struct("=IIIII")  # expires, receive queue, send queue, uid, inode


class InetSocket(NamedTuple):
    """A socket bound to `address` and `port`. `inode` is its number in /proc/PID/fd; 0 when no process has it."""

    address: str
    port: int
    state: int
    uid: int
    inode: int


def sockets_on(family: int, protocol: int, port: int) -> list[InetSocket]:
    """The sockets of a family (AF_INET, AF_INET6) and protocol (IPPROTO_*) whose own port is `port`. Raises OSError."""
    payload = _REQUEST.pack(family, protocol, 0, _ALL_STATES) + _ID.pack(port, 0, b"", b"")
    length = _HEADER.size + len(payload)
    header = _HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
    found: list[InetSocket] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as diag:
        diag.settimeout(ANSWER_SECONDS)
        diag.sendto(header + payload, (0, 0))
        while True:
            data = diag.recv(1 << 17)
            offset = 0
            while offset + _HEADER.size <= len(data):
                size, kind, _, _, _ = _HEADER.unpack_from(data, offset)
                body = data[offset + _HEADER.size : offset + size]
                if kind == NLMSG_DONE:
                    return [one for one in found if one.port == port]
                if kind == NLMSG_ERROR:
                    code = -int(struct.unpack_from("=i", body)[0])
                    raise OSError(code, os.strerror(code), "sock_diag")
                found.append(_parse(body))
                offset += (size + 3) & ~3


def _parse(body: bytes) -> InetSocket:
    family, state = body[0], body[1]
    port, _, source, _ = _ID.unpack_from(body, 4)
    _, _, _, uid, inode = _NUMBERS.unpack_from(body, 4 + _ID.size)
    address = ipaddress.ip_address(source[:4] if family == socket.AF_INET else source)
    return InetSocket(str(address), port, state, uid, inode)
