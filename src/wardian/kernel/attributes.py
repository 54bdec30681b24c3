"""The bytes of netlink messages: attributes, and the header of a message about links. netlink(7), rtnetlink(7)."""

import struct

LINK_HEADER = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
NLA_TYPE_MASK = 0x3FFF
NLA_F_NESTED = 0x8000


def attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def short(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def byte(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def link_header(index: int, flags: int, change: int, family: int = 0) -> bytes:
    """struct ifinfomsg: `change` says which of `flags` are meant."""
    return LINK_HEADER.pack(family, 0, index, flags, change)


def attributes(data: bytes) -> dict[int, bytes]:
    """What an attribute list holds, by kind; of several of one kind the last."""
    found = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def as_text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def as_number(value: bytes) -> int:
    return int(struct.unpack_from("=I", value)[0]) if len(value) >= 4 else 0
