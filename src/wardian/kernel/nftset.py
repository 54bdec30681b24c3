"""Elements of nf_tables' sets and maps straight by nfnetlink: `nft add element` without first reading what is there.

libnftables lists the sets of a table before each command (with 200 networks that is milliseconds); the kernel needs no
more than the element. A batch is one transaction (linux/netfilter/nfnetlink.h, nf_tables.h):

    BATCH_BEGIN · NEWSETELEM or DELSETELEM {table, set, elements {key, data}} … · BATCH_END
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Mapping, Sequence

from wardian.errors import SYSTEM, WardianError
from wardian.kernel.attributes import NLA_F_NESTED, attribute, text
from wardian.kernel.nftables import NETLINK_NETFILTER, SUBSYS_NFTABLES

ADD, DELETE = "add", "delete"
ANSWER_SECONDS = 20

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_KIND = {ADD: SUBSYS_NFTABLES << 8 | 12, DELETE: SUBSYS_NFTABLES << 8 | 14}
_REQUEST, _ACK, _CREATE = 1, 4, 0x400
_NLMSG_ERROR = 2
_NFPROTO_INET = 1
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM = 1, 2, 3, 1
_ELEM_KEY, _ELEM_DATA, _DATA_VALUE = 1, 2, 1
# An attribute's length has 16 bits.
_ELEMENTS_OF_ONE = 400
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}


class SetElements:
    """A socket in the network namespace of the thread that makes it; used by one thread at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._socket.settimeout(ANSWER_SECONDS)
        self._sequence = 0

    def change(self, verb: str, table: str, given: Mapping[str, Sequence[str]]) -> None:
        """Add or delete elements, in nft's words, of sets and maps of the inet table `table`: all of them or none.

        An element that is there with another value, or is not there, is refused. Raises WardianError.
        """
        messages = [
            payload
            for name, found in given.items()
            for at in range(0, len(found), _ELEMENTS_OF_ONE)
            for payload in (_elements(table, name, found[at : at + _ELEMENTS_OF_ONE]),)
        ]
        if messages:
            self._send(verb, table, messages)

    def close(self) -> None:
        self._socket.close()

    def _send(self, verb: str, table: str, messages: Sequence[bytes]) -> None:
        first = self._sequence + 1
        flags = _REQUEST | _ACK | (_CREATE if verb == ADD else 0)
        batch = [self._message(_BATCH_BEGIN, _REQUEST, struct.pack(">BBH", 0, 0, SUBSYS_NFTABLES))]
        batch += [self._message(_KIND[verb], flags, payload) for payload in messages]
        batch += [self._message(_BATCH_END, _REQUEST, struct.pack(">BBH", 0, 0, SUBSYS_NFTABLES))]
        try:
            self._socket.sendto(b"".join(batch), (0, 0))
            refused = self._answers(first, len(messages))
        except OSError as error:
            raise _refusal(verb, table, error.errno or 0) from error
        if refused:
            raise _refusal(verb, table, refused)

    def _answers(self, first: int, expected: int) -> int:
        """The first errno of the batch that begins with number `first`; 0: it was committed.

        The batch is carried out while it is sent. Each message of it is then answered, but when it cannot be begun.
        """
        refused = answered = 0
        while answered < expected:
            data = self._socket.recv(1 << 17)
            offset = 0
            while offset + 20 <= len(data):
                length, kind, _, number = struct.unpack_from("=IHHI", data, offset)
                if kind == _NLMSG_ERROR and number >= first:
                    code = -int(struct.unpack_from("=i", data, offset + 16)[0])
                    refused = refused or code
                    answered += expected if code and number == first else 1
                offset += max(16, (length + 3) & ~3)
        return refused

    def _message(self, kind: int, flags: int, payload: bytes) -> bytes:
        self._sequence = self._sequence + 1 & 0x7FFFFFFF
        return struct.pack("=IHHII", 16 + len(payload), kind, flags, self._sequence, 0) + payload


def encode(element: str) -> tuple[bytes, bytes]:
    """The key and the value (empty for a set) of an element in nft's words, `192.0.2.1 . tcp . 80 : 10.0.0.2 . 8080`.

    Each part of a concatenation is padded to four bytes, and is in network order (nft(8), CONCATENATIONS).
    """
    key, _, value = element.partition(" : ")
    return _concatenated(key), _concatenated(value) if value else b""


def _concatenated(words: str) -> bytes:
    return b"".join(_part(word) for word in words.split(" . "))


def _part(word: str) -> bytes:
    if word in _PROTOCOLS:
        return struct.pack(">B3x", _PROTOCOLS[word])
    if word.startswith('"'):  # a link's name: as many bytes as IFNAMSIZ
        return word.strip('"').encode().ljust(16, b"\0")
    if word.isdigit():
        return struct.pack(">H2x", int(word))
    return ipaddress.ip_address(word).packed


def _nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, value)


def _elements(table: str, name: str, found: Sequence[str]) -> bytes:
    items = b""
    for key, value in map(encode, found):
        item = _nested(_ELEM_KEY, attribute(_DATA_VALUE, key))
        item += _nested(_ELEM_DATA, attribute(_DATA_VALUE, value)) if value else b""
        items += _nested(_LIST_ELEM, item)
    head = struct.pack(">BBH", _NFPROTO_INET, 0, 0)
    return head + text(_LIST_TABLE, table) + text(_LIST_SET, name) + _nested(_LIST_ELEMENTS, items)


def _refusal(verb: str, table: str, code: int) -> WardianError:
    said = os.strerror(code) if code else errno.errorcode.get(code, "no answer")
    return WardianError(
        SYSTEM, f"nft {verb} element inet {table}: {said}", operation="nftables", subject=table, errno=code
    )
