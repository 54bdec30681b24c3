"""Links and addresses that went, told by rtnetlink(7) as it happens: what a host's owner takes away.

A host's links change all the time; a filter in the kernel (socket(7), SO_ATTACH_FILTER; linux/filter.h) lets through
what says that something went, and wakes nobody for the rest.
"""

import ctypes
import errno
import socket
import struct
import sys

from wardian.kernel.netlink import RTM_DELADDR, RTM_DELLINK, SOL_NETLINK

NETLINK_ADD_MEMBERSHIP = 1
_GROUPS = (1, 5, 9)  # RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python does not name it
_LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x28, 0x15, 0x06
_HEADER = struct.Struct("=IHHII")
_TYPE_AT = 4  # nlmsg_type in struct nlmsghdr, in the machine's order where the filter reads network order
# struct ifinfomsg and struct ifaddrmsg both have the link's number there.
_INDEX_AT = 4


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

    def take(self) -> tuple[set[int], bool]:
        """The numbers of links that went, or lost an address, since the last call, without waiting; False: and some
        were not told."""
        found: set[int] = set()
        complete = True
        while True:
            try:
                found.update(indices(self._socket.recv(1 << 16)))
            except BlockingIOError:
                return found, complete
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                complete = False

    def close(self) -> None:
        self._socket.close()


def indices(data: bytes) -> set[int]:
    """Of what one datagram tells."""
    found: set[int] = set()
    offset = 0
    while offset + _HEADER.size + 8 <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size + 8:
            break
        family = data[offset + _HEADER.size]
        # A port that leaves its bridge is told as a link, too (AF_BRIDGE), and is still there.
        if kind == RTM_DELADDR or (kind == RTM_DELLINK and family != socket.AF_BRIDGE):
            found.add(struct.unpack_from("=I", data, offset + _HEADER.size + _INDEX_AT)[0])
        offset += (length + 3) & ~3
    return found


def _filter(where: socket.socket) -> None:
    kinds = [int.from_bytes(kind.to_bytes(2, sys.byteorder), "big") for kind in (RTM_DELLINK, RTM_DELADDR)]
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD_HALF, 0, 0, _TYPE_AT),
            (_JUMP_EQUAL, 1, 0, kinds[0]),
            (_JUMP_EQUAL, 0, 1, kinds[1]),
            (_RETURN, 0, 0, 0xFFFFFFFF),
            (_RETURN, 0, 0, 0),
        )
    )
    held = ctypes.create_string_buffer(program, len(program))
    where.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    )
