"""Ids of a container with a user namespace and what they are outside (user_namespaces(7), "uid_map")."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_Range = tuple[int, int, int]  # first id inside, first id outside, how many


class IdMap(NamedTuple):
    """Without ranges there is no user namespace, and every id is itself."""

    uids: tuple[_Range, ...] = ()
    gids: tuple[_Range, ...] = ()

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner to write for one that an archive or a container names. What is not mapped stays."""
        return _moved(uid, self.uids, 0, 1), _moved(gid, self.gids, 0, 1)

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner as the container sees it. What is not mapped stays: a lower layer has ids of the inside."""
        return _moved(uid, self.uids, 1, 0), _moved(gid, self.gids, 1, 0)


def id_map(spec_linux: Mapping[str, Any]) -> IdMap:
    """From `linux.uidMappings` and `gidMappings` of an OCI runtime spec."""
    return IdMap(_ranges(spec_linux.get("uidMappings") or ()), _ranges(spec_linux.get("gidMappings") or ()))


def _ranges(mappings: Iterable[Mapping[str, int]]) -> tuple[_Range, ...]:
    return tuple((one["containerID"], one["hostID"], one["size"]) for one in mappings)


def _moved(identity: int, ranges: tuple[_Range, ...], start: int, end: int) -> int:
    for one in ranges:
        if one[start] <= identity < one[start] + one[2]:
            return identity - one[start] + one[end]
    return identity
