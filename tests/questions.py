"""Questions to a name server, asked from inside a network namespace, past every cache: RFC 1035, 4.

ask_name(box.netns, "web") == Answer(NOERROR, ["172.18.0.2"])
"""

import ipaddress
import os
import socket
import struct
from typing import NamedTuple

from wardian.kernel import netns

A, PTR, AAAA = 1, 12, 28
NOERROR, SERVFAIL, NXDOMAIN, NOTHING = 0, 2, 3, -1


class Answer(NamedTuple):
    """The server's code (NOTHING: no answer came) and the addresses or names in the order they came."""

    code: int
    found: list[str]


def ask_name(
    where: int, name: str, kind: int = A, server: str = "127.0.0.11", tcp: bool = False, seconds: float = 3
) -> Answer:
    query = question(name, kind)

    def ask() -> Answer:
        try:
            return parse(_over_tcp(server, query, seconds) if tcp else _over_udp(server, query, seconds))
        except OSError:
            return Answer(NOTHING, [])

    return netns.run_inside(where, ask)


def question(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return os.urandom(2) + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def _over_udp(server: str, query: bytes, seconds: float) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(seconds)
        asking.connect((server, 53))
        asking.send(query)
        return asking.recv(65536)


def _over_tcp(server: str, query: bytes, seconds: float) -> bytes:
    with socket.create_connection((server, 53), seconds) as asking:
        asking.sendall(struct.pack("!H", len(query)) + query)
        data = b""
        while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
            more = asking.recv(65536)
            if not more:
                raise ConnectionError("the answer broke off")
            data += more
        return data[2:]


def parse(data: bytes) -> Answer:
    _, flags, questions, answers = struct.unpack("!HHHH", data[:8])
    at = 12
    for _ in range(questions):
        at = _name(data, at)[1] + 4
    found = []
    for _ in range(answers):
        at = _name(data, at)[1]
        kind, _, _, size = struct.unpack("!HHIH", data[at : at + 10])
        at += 10
        if kind in (A, AAAA):
            found.append(str(ipaddress.ip_address(data[at : at + size])))
        elif kind == PTR:
            found.append(_name(data, at)[0])
        at += size
    return Answer(flags & 15, found)


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends; a pointer leads back into the message (4.1.4)."""
    labels: list[str] = []
    end = 0
    while size := data[at]:
        if size >= 0xC0:
            end = end or at + 2
            at = struct.unpack("!H", data[at : at + 2])[0] & 0x3FFF
        else:
            labels.append(data[at + 1 : at + 1 + size].decode())
            at += 1 + size
    return ".".join(labels), end or at + 1
