"""The names on one network, as the engine's file says them.

    {"names": {"web": ["172.18.0.2", "fd00::2"]}, "addresses": {"172.18.0.2": "web.shop"}, "domain": "shop"}

Each name is known by itself and as NAME.DOMAIN.
"""

import itertools
import json
import socket
from collections.abc import Iterable, Mapping, Sequence

from . import message

_turns = itertools.count()  # names that are read anew again and again do not all begin with their first address


class Name:
    """What is known of one name. Each look-up begins with another address: round robin."""

    __slots__ = ("_by_kind", "_turn")

    def __init__(self, records: Iterable[tuple[int, bytes]]) -> None:
        self._by_kind: dict[int, list[bytes]] = {}
        self._turn = next(_turns)
        for kind, record in records:
            of_kind = self._by_kind.setdefault(kind, [])
            if record not in of_kind:
                of_kind.append(record)

    def records(self, kind: int) -> Sequence[bytes]:
        if kind == message.ANY:
            return [record for records in self._by_kind.values() for record in records]
        records = self._by_kind.get(kind, ())
        if len(records) < 2:
            return records
        self._turn += 1
        at = self._turn % len(records)
        return [*records[at:], *records[:at]]


class NetworkNames:
    """The names on one network. A record is made when it is first asked for: a file of 500 containers is read within a
    millisecond, and while they start it is read again and again."""

    __slots__ = ("_addresses", "_made", "_names", "_suffix")

    def __init__(self, names: Mapping[str, Sequence[str]], addresses: Mapping[str, str], domain: str) -> None:
        self._names = {name.lower(): at for name, at in names.items()}
        self._addresses = addresses
        self._suffix = f".{domain.lower()}" if domain else ""
        self._made: dict[bytes, Name] = {}

    def get(self, wire: bytes) -> Name | None:
        """What is known of a name as messages have it."""
        made = self._made.get(wire)
        if made is None:
            made = self._reverse(wire) if wire.endswith(b"\4arpa\0") else self._forward(wire)
            if made is not None:  # others are as many as anybody can think of
                self._made[wire] = made
        return made

    def _forward(self, wire: bytes) -> Name | None:
        """A name without an address is known too: it is not looked for elsewhere."""
        text = message.dotted_name(wire)
        addresses = self._names.get(text)
        if addresses is None and self._suffix and text.endswith(self._suffix):
            addresses = self._names.get(text[: -len(self._suffix)])
        if addresses is None:
            return None
        packed = filter(None, map(_packed, addresses))
        return Name((message.A if len(one) == 4 else message.AAAA, message.address_record(one)) for one in packed)

    def _reverse(self, wire: bytes) -> Name | None:
        name = message.wire_name(self._addresses.get(_reversed_address(message.dotted_name(wire)), ""))
        return Name([(message.PTR, message.pointer_record(name))]) if name else None


NO_NAMES = NetworkNames({}, {}, "")


def read_names(text: bytes) -> NetworkNames:
    """The names of one file; none of a file that is not what the engine writes."""
    try:
        content = json.loads(text)
        names, addresses, domain = content["names"], content.get("addresses", {}), content.get("domain", "")
        for name, at in names.items():
            if not isinstance(at, list) or not all(isinstance(one, str) for one in at):
                raise ValueError(name)
        if not isinstance(domain, str) or not all(isinstance(one, str) for one in addresses.values()):
            raise ValueError(domain)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return NO_NAMES
    return NetworkNames(names, addresses, domain)


def _reversed_address(text: str) -> str:
    """The address that `1.2.3.4.in-addr.arpa` or the like of `ip6.arpa` stands for; "" for none."""
    try:
        if text.endswith(".in-addr.arpa"):
            return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, ".".join(text.split(".")[3::-1])))
        if text.endswith(".ip6.arpa"):
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex("".join(text.split(".")[31::-1])))
    except (OSError, ValueError):
        pass
    return ""


def _packed(address: str) -> bytes:
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        return b""
