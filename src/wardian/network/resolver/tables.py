"""The names of all networks, read from the files that the engine replaces by rename: one for each network (`zone`).

After each replacement the engine raises a number in a file that both have mapped. So to know that nothing has changed
costs no system call, and a name that the engine has published is answered from then on.
"""

import mmap
import os
from collections.abc import Sequence

from .zone import NO_NAMES, NetworkNames, read_names

NETWORKS = "networks"
GENERATION = "generation"
_GENERATION_BYTES = 8
_NEVER_READ = (0, 0, 0)


def map_generation(directory: str, access: int = mmap.ACCESS_WRITE) -> mmap.mmap:
    """The number, made by whoever comes first. Who maps it with ACCESS_READ keeps no way to change it, or to cut its
    file short, which would end the others (SIGBUS)."""
    path = os.path.join(directory, GENERATION)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, _GENERATION_BYTES)
        if access == mmap.ACCESS_READ:
            os.close(fd)
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return mmap.mmap(fd, _GENERATION_BYTES, access=access)
    finally:
        os.close(fd)


def raise_generation(generation: mmap.mmap) -> None:
    """Once what changed is in its place."""
    number = int.from_bytes(generation[:], "little") + 1
    generation[:] = (number % (1 << 8 * _GENERATION_BYTES)).to_bytes(_GENERATION_BYTES, "little")


def open_networks(directory: str) -> int:
    """The directory of the networks' files, made by whoever comes first: anybody may read it who comes as far, and that
    is who has this descriptor. `directory` is its user's alone."""
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o700)
    path = os.path.join(directory, NETWORKS)
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o755)
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class Tables:
    """The networks' names below `directory`/networks."""

    def __init__(self, directory: str) -> None:
        self._networks = open_networks(directory)
        self._generation = map_generation(directory, mmap.ACCESS_READ)
        self._read: dict[str, tuple[bytes, tuple[int, int, int], NetworkNames]] = {}

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

    def _names(self, network: str) -> NetworkNames:
        generation = self._generation[:]
        looked, seen, names = self._read.get(network, (b"", _NEVER_READ, NO_NAMES))
        if looked == generation:
            return names
        path = f"{network}.json"
        try:
            status = os.stat(path, dir_fd=self._networks)
            now = (status.st_ino, status.st_mtime_ns, status.st_size)
            if now != seen:
                with open(path, "rb", opener=self._open) as file:
                    seen, names = now, read_names(file.read())
        except FileNotFoundError:
            seen, names = _NEVER_READ, NO_NAMES
        except OSError:  # no descriptor is free: what was known serves on, and is looked at again
            return names
        self._read[network] = (generation, seen, names)
        return names

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, dir_fd=self._networks)
