"""The resolver's directory in the run root: what the resolver reads, and what is to be known when it was lost.

    networks/ID.json     the names on a network, replaced by rename (resolver/zone)
    generation           a number, mapped by both; raised after each change of a name
    sandboxes/ID.json    port and view of a sandbox: with them its sockets can be made again
    control.sock, log    of the process (resolver_process)

Nothing here outlives the machine's run, so nothing is synced.
"""

import contextlib
import logging
import mmap
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from wardian.network.resolver import tables

log = logging.getLogger(__name__)
_NETWORKS, _SANDBOXES = tables.NETWORKS, "sandboxes"


class View(NamedTuple):
    """What one sandbox may know.

    `networks`: ids, in the order in which a name is looked up. `upstream`: servers for what is on none of them, () for
    the host's. `inside`: they are asked from the sandbox's own namespace (`--dns`), else from the host. `internal`:
    nobody is asked, as none of its networks leads outside. `search`: what its resolv.conf has. `links`: what it alone
    calls others: the network, the name that it asks for, and the one that is looked up there instead.
    """

    networks: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    inside: bool = False
    internal: bool = False
    search: tuple[str, ...] = ()
    links: tuple[tuple[str, str, str], ...] = ()


class Known(NamedTuple):
    """A sandbox that is answered: where its redirect leads, and what it may know."""

    sandbox: str
    port: int
    view: View


class NameFiles:
    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._generation: mmap.mmap | None = None
        self._published: dict[str, bytes] = {}

    def open(self) -> None:
        os.close(tables.open_networks(self.directory))
        os.makedirs(os.path.join(self.directory, _SANDBOXES), mode=0o700, exist_ok=True)
        self._generation = tables.map_generation(self.directory)
        self._changed()

    def close(self) -> None:
        self._published.clear()
        if self._generation is not None:
            self._generation.close()
            self._generation = None

    def remove(self) -> None:
        """All of it. A resolver that still runs sees that it is not needed any more."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def publish(
        self, network: str, names: Mapping[str, Sequence[str]], addresses: Mapping[str, str], domain: str
    ) -> None:
        """Replaces the names on a network; nothing is written when they are as they were."""
        text = msgspec.json.encode({"names": names, "addresses": addresses, "domain": domain})
        if self._published.get(network) != text:
            self._write(_NETWORKS, network, text)
            self._published[network] = text
            self._changed()

    def withdraw(self, network: str) -> None:
        self._published.pop(network, None)
        self._remove(_NETWORKS, network)
        self._changed()

    def known(self) -> Iterator[Known]:
        directory = os.path.join(self.directory, _SANDBOXES)
        for name in os.listdir(directory):
            if name.endswith(".json"):
                try:
                    with open(os.path.join(directory, name), "rb") as file:
                        yield msgspec.json.decode(file.read(), type=Known)
                except (OSError, msgspec.MsgspecError) as error:
                    log.warning("names: %s cannot be read: %s", name, error)

    def remember(self, known: Known) -> None:
        self._write(_SANDBOXES, known.sandbox, msgspec.json.encode(known))

    def forget(self, sandbox: str) -> None:
        self._remove(_SANDBOXES, sandbox)

    def _changed(self) -> None:
        """The resolver looks at the files again before its next answer."""
        if self._generation is not None:
            tables.raise_generation(self._generation)

    def _write(self, kind: str, name: str, text: bytes) -> None:
        """By rename, with a time that no earlier file had: the resolver knows a file by inode, time and size."""
        path = os.path.join(self.directory, kind, f"{name}.json")
        with open(f"{path}.new", "wb", buffering=0) as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)  # the resolver is nobody, and nobody else comes as far
        now = time.time_ns()
        os.utime(f"{path}.new", ns=(now, now))
        os.rename(f"{path}.new", path)

    def _remove(self, kind: str, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.directory, kind, f"{name}.json"))
