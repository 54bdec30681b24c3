"""Tracked flows: ctnetlink (linux/netfilter/nfnetlink_conntrack.h), in the calling thread's network namespace.

A flow is what nf_conntrack remembers of packets that belong together, and by which it goes on translating their
addresses after the rule that said so is gone, as long as packets come.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from wardian.kernel.attributes import NLA_F_NESTED, attribute, attributes

NETLINK_NETFILTER = 12
CT_GET, CT_DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_*
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE, CTA_FILTER = 1, 2, 18, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC = 1
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
_BY_SOURCE = 1 << 0  # CTA_FILTER_F_CTA_IP_SRC
_BY_PROTOCOL, _BY_PORT = 1 << 3, 1 << 5  # CTA_FILTER_F_CTA_PROTO_NUM, CTA_FILTER_F_CTA_PROTO_DST_PORT: since Linux 5.8
ANSWER_SECONDS = 5

_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("!BBH")


class Flow(NamedTuple):
    """`destination` and `port` are as the first packet had them; `answers_from` is who answers, which is another
    address where it was translated; `answers_to` is whom he answers. `key` names it to the kernel."""

    destination: str
    port: int
    answers_from: str
    answers_to: str
    family: int
    key: bytes


class Conntrack:
    """A socket to the connection tracking of one namespace. Used by one thread at a time. Raises OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._socket.settimeout(ANSWER_SECONDS)

    def __enter__(self) -> "Conntrack":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def flows_to(self, family: int, protocol: int, port: int) -> list[Flow]:
        """The flows of a family and protocol (IPPROTO_*) whose first packet went to `port`."""
        numbers = attribute(CTA_PROTO_NUM, bytes([protocol])) + attribute(CTA_PROTO_DST_PORT, struct.pack("!H", port))
        wanted = _nest(CTA_TUPLE_ORIG, _nest(CTA_TUPLE_PROTO, numbers))
        flows = self._dump(family, wanted, CTA_FILTER_ORIG_FLAGS, _BY_PROTOCOL | _BY_PORT)
        return [flow for flow in flows if flow.port == port]

    def flows_answered_by(self, address: str) -> list[Flow]:
        """Those of all protocols. Linux's filter for IPv6 addresses lets through what it should not and keeps the rest
        (ctnetlink_filter_match_tuple takes ipv6_addr_cmp for "is equal"), so all are read."""
        if ":" in address:
            flows = self._dump(socket.AF_INET6)
        else:
            place = attribute(CTA_IP_V4_SRC, socket.inet_pton(socket.AF_INET, address))
            wanted = _nest(CTA_TUPLE_REPLY, _nest(CTA_TUPLE_IP, place))
            flows = self._dump(socket.AF_INET, wanted, CTA_FILTER_REPLY_FLAGS, _BY_SOURCE)
        return [flow for flow in flows if flow.answers_from == address]

    def _dump(self, family: int, wanted: bytes = b"", which: int = 0, by: int = 0) -> list[Flow]:
        """A kernel that cannot filter (before 5.8) gives all."""
        filters = _nest(CTA_FILTER, attribute(which, struct.pack("=I", by))) if which else b""
        self._send(CT_GET, NLM_F_DUMP, family, wanted + filters)
        return [_parse(family, body) for body in self._answers()]

    def delete(self, flow: Flow) -> None:
        """What comes next of it is a new flow, for which the rules are asked. No error when it has ended."""
        self._send(CT_DELETE, NLM_F_ACK, flow.family, flow.key)
        try:
            list(self._answers())
        except FileNotFoundError:
            pass

    def _send(self, kind: int, flags: int, family: int, payload: bytes) -> None:
        body = _FAMILY.pack(family, 0, 0) + payload
        self._socket.sendto(_HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body, (0, 0))

    def _answers(self) -> Iterator[bytes]:
        while True:
            data, offset = self._socket.recv(1 << 17), 0
            while offset + _HEADER.size <= len(data):
                length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
                body = data[offset + _HEADER.size : offset + length]
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    code = -int(struct.unpack_from("=i", body)[0])
                    if code:
                        raise OSError(code, os.strerror(code), "conntrack")
                    return
                yield body[_FAMILY.size :]
                offset += (length + 3) & ~3


def is_missing(error: OSError) -> bool:
    """No connection tracking in this kernel, or none that can be asked: then no flow is in the way either."""
    return error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP)


def _nest(kind: int, payload: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, payload)


def _parse(family: int, body: bytes) -> Flow:
    found = attributes(body)
    original, reply = attributes(found[CTA_TUPLE_ORIG]), attributes(found[CTA_TUPLE_REPLY])
    source, destination = (1, 2) if family == socket.AF_INET else (3, 4)  # CTA_IP_V4_SRC …, CTA_IP_V6_DST
    proto = attributes(original[CTA_TUPLE_PROTO])
    (port,) = struct.unpack("!H", proto.get(CTA_PROTO_DST_PORT, b"\0\0"))  # what has no ports, as ICMP, has 0
    answer = attributes(reply[CTA_TUPLE_IP])
    key = _nest(CTA_TUPLE_ORIG, found[CTA_TUPLE_ORIG])
    if CTA_ZONE in found:
        key += attribute(CTA_ZONE, found[CTA_ZONE])
    return Flow(
        str(ipaddress.ip_address(attributes(original[CTA_TUPLE_IP])[destination])),
        int(port),
        str(ipaddress.ip_address(answer[source])),
        str(ipaddress.ip_address(answer[destination])),
        family,
        key,
    )
