"""The names of networks, read from the files that the engine replaces by rename: one for each network, JSON.

    {"names": {"web": ["172.18.0.2", "fd00::2"]}, "addresses": {"172.18.0.2": "web.shop"}, "domain": "shop"}

After each replacement the engine raises a number in a file that both have mapped. So to know that nothing has changed
costs no system call, and a name that the engine has published is answered from then on.
"""

import json
import mmap
import os
import socket
from collections.abc import Sequence

from . import message

GENERATION = "generation"
_GENERATION_BYTES = 8
_NEVER_READ = (0, 0, 0)


def map_generation(directory: str) -> mmap.mmap:
    """The number, made by whoever comes first."""
    fd = os.open(os.path.join(directory, GENERATION), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, _GENERATION_BYTES)
        return mmap.mmap(fd, _GENERATION_BYTES)
    finally:
        os.close(fd)


def raise_generation(generation: mmap.mmap) -> None:
    """Once what changed is in its place."""
    number = int.from_bytes(generation[:], "little") + 1
    generation[:] = (number % (1 << 8 * _GENERATION_BYTES)).to_bytes(_GENERATION_BYTES, "little")


class Name:
    """What is known of one name. Each look-up begins with another address: round robin."""

    __slots__ = ("_turn", "by_kind")

    def __init__(self) -> None:
        self.by_kind: dict[int, list[bytes]] = {}
        self._turn = 0

    def add(self, kind: int, record: bytes) -> None:
        records = self.by_kind.setdefault(kind, [])
        if record not in records:
            records.append(record)

    def records(self, kind: int) -> Sequence[bytes]:
        if kind == message.ANY:
            return [record for records in self.by_kind.values() for record in records]
        records = self.by_kind.get(kind, ())
        if len(records) < 2:
            return records
        self._turn += 1
        at = self._turn % len(records)
        return [*records[at:], *records[:at]]


class Tables:
    """The networks' names below `directory`/networks."""

    def __init__(self, directory: str) -> None:
        self._directory = os.path.join(directory, "networks")
        self._generation = map_generation(directory)
        self._read: dict[str, tuple[bytes, tuple[int, int, int], dict[bytes, Name]]] = {}

    def generation(self) -> bytes:
        """Another one after every change of any name."""
        return self._generation[:]

    def find(self, networks: Sequence[str], name: bytes, kind: int) -> Sequence[bytes] | None:
        """The records of `name` in the first network that has some; () when only others are there; None: not known."""
        known: Sequence[bytes] | None = None
        for network in networks:
            found = self._names(network).get(name)
            if found is not None:
                known = found.records(kind)
                if known:
                    return known
        return known

    def keep(self, networks: set[str]) -> None:
        """Forget what was read of networks that nobody is on."""
        for network in self._read.keys() - networks:
            del self._read[network]

    def _names(self, network: str) -> dict[bytes, Name]:
        generation = self._generation[:]
        looked, seen, names = self._read.get(network, (b"", _NEVER_READ, {}))
        if looked == generation:
            return names
        path = f"{self._directory}/{network}.json"
        try:
            status = os.stat(path)
            now = (status.st_ino, status.st_mtime_ns, status.st_size)
            if now != seen:
                with open(path, "rb") as file:
                    seen, names = now, read_names(file.read())
        except FileNotFoundError:
            seen, names = _NEVER_READ, {}
        except OSError:  # no descriptor is free: what was known serves on, and is looked at again
            return names
        self._read[network] = (generation, seen, names)
        return names


def read_names(text: bytes) -> dict[bytes, Name]:
    """The names of one file, as messages have them; none of a file that is not what the engine writes."""
    table: dict[bytes, Name] = {}
    try:
        content = json.loads(text)
        domain = content.get("domain", "")
        for name, addresses in content["names"].items():
            for full in (name, f"{name}.{domain}") if domain else (name,):
                _add_name(table, message.wire_name(full), addresses)
        for address, name in content.get("addresses", {}).items():
            _add_pointer(table, address, message.wire_name(name))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return table


def _add_name(table: dict[bytes, Name], wire: bytes, addresses: Sequence[str]) -> None:
    """A name without an address is known too: it is not looked for elsewhere."""
    if wire:
        entry = table.setdefault(wire, Name())
        for packed in filter(None, map(_packed, addresses)):
            entry.add(message.A if len(packed) == 4 else message.AAAA, message.address_record(packed))


def _add_pointer(table: dict[bytes, Name], address: str, wire: bytes) -> None:
    packed = _packed(address)
    if packed and wire:
        entry = table.setdefault(message.reverse_name(packed), Name())
        entry.add(message.PTR, message.pointer_record(wire))


def _packed(address: str) -> bytes:
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError, TypeError):
        return b""
