"""Links and addresses that went, and ports that joined or left a bridge, told by rtnetlink(7) as it happens: what a
host's owner takes away, or rebuilds.

A host's links change all the time; a filter in the kernel (socket(7), SO_ATTACH_FILTER; linux/filter.h) lets through
what says this, and wakes nobody for the rest.
"""

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from wardian.kernel.attributes import attributes
from wardian.kernel.netlink import IFLA_MASTER, RTM_DELADDR, RTM_DELLINK, RTM_NEWLINK, SOL_NETLINK

NETLINK_ADD_MEMBERSHIP = 1
_GROUPS = (1, 5, 9)  # RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python does not name it
_LOAD_HALF, _LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_HEADER = struct.Struct("=IHHII")
_TYPE_AT = 4  # nlmsg_type in struct nlmsghdr, in the machine's order where the filter reads network order
# struct ifinfomsg and struct ifaddrmsg both have the link's number there.
_INDEX_AT = 4
_LINK_SIZE = 16  # struct ifinfomsg; its first octet is the family


class Told(NamedTuple):
    """Numbers: of links that went or lost an address, and of bridges whose ports came, changed or went."""

    links: frozenset[int] = frozenset()
    bridges: frozenset[int] = frozenset()
    complete: bool = True  # False: and some were not told


class Departures:
    """Stays in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        try:
            _filter(self._socket)
            self._socket.bind((0, 0))
            for group in _GROUPS:
                self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> Told:
        """Since the last call, without waiting."""
        found = Told()
        while True:
            try:
                told = parse(self._socket.recv(1 << 16))
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found = found._replace(complete=False)
            else:
                found = found._replace(links=found.links | told.links, bridges=found.bridges | told.bridges)

    def close(self) -> None:
        self._socket.close()


def parse(data: bytes) -> Told:
    """What one datagram tells."""
    links, bridges = set(), set()
    for kind, body in _messages(data):
        if kind in (RTM_NEWLINK, RTM_DELLINK) and body[0] == socket.AF_BRIDGE:  # of a port, which is still there
            master = attributes(body[_LINK_SIZE:]).get(IFLA_MASTER)
            if master is not None:
                bridges.add(struct.unpack("=I", master)[0])
        elif kind in (RTM_DELLINK, RTM_DELADDR):
            links.add(struct.unpack_from("=I", body, _INDEX_AT)[0])
    return Told(frozenset(links), frozenset(bridges))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size + 8 <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size + 8:
            break
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _filter(where: socket.socket) -> None:
    new, *gone = (
        int.from_bytes(kind.to_bytes(2, sys.byteorder), "big") for kind in (RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR)
    )
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD_HALF, 0, 0, _TYPE_AT),
            (_JUMP_EQUAL, 4, 0, gone[0]),
            (_JUMP_EQUAL, 3, 0, gone[1]),
            (_JUMP_EQUAL, 0, 3, new),
            (_LOAD_BYTE, 0, 0, _HEADER.size),
            (_JUMP_EQUAL, 0, 1, socket.AF_BRIDGE),
            (_RETURN, 0, 0, 0xFFFFFFFF),
            (_RETURN, 0, 0, 0),
        )
    )
    held = ctypes.create_string_buffer(program, len(program))
    where.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    )
