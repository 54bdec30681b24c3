"""Who lives in a container's network namespace beside it: those that joined it (`--network container:X`), and stay.

A namespace lives as long as a process in it, setns(2): what the kernel would take away with it has to be taken out by
hand when its owner ends before those that joined.
"""

import contextlib
import os
from collections.abc import Iterator

from wardian.engine.life.sandbox import network_owner, open_namespace
from wardian.engine.links import links_of
from wardian.engine.options.config import JOINS
from wardian.engine.registry import Container, Registry
from wardian.errors import WardianError


def needed(registry: Registry, container: Container) -> Iterator[str]:
    """The ids of those that must run before it starts: whose namespaces it joins, to whom it is linked."""
    yield from filter(None, (container.config.joins(kind) for kind in JOINS))
    yield from (one.other.id for one in links_of(registry, container))


def open_left_behind(registry: Registry, identity: str) -> list[int]:
    """Descriptors of the namespaces that `identity`, which has ended, leaves to those that joined it, directly or by
    way of another. The caller closes them.

    One that an earlier run of it left may be among them; never one with a living owner, nor the host's.
    """
    joiners = [
        one for one in registry.tied if one.config.joins("network") and network_owner(registry, one) in (identity, "")
    ]
    if not joiners:
        return []
    owned = _owned(registry, identity)
    found: dict[tuple[int, int], int] = {}
    for one in joiners:
        netns = _open(one)
        if netns < 0:
            continue
        key = _key(netns)
        if key in owned or key in found:
            os.close(netns)
        else:
            found[key] = netns
    return list(found.values())


def _owned(registry: Registry, but: str) -> set[tuple[int, int]]:
    """The namespaces with a living owner, the host's among them."""
    keys = set()
    for one in registry:
        if one.id != but and one.state.live and not one.config.joins("network"):
            with contextlib.suppress(WardianError):
                netns = open_namespace(one, "net")
                keys.add(_key(netns))
                os.close(netns)
    found = os.stat("/proc/self/ns/net")
    return keys | {(found.st_dev, found.st_ino)}


def _open(joiner: Container) -> int:
    """That of its process; of one that is being started, what it was given for it; -1 when it lives in none."""
    if joiner.state.live:
        with contextlib.suppress(WardianError):
            return open_namespace(joiner, "net")
        return -1
    given = joiner.sandbox.descriptors.get("network") if joiner.sandbox is not None else None
    return os.dup(given) if given is not None else -1


def _key(netns: int) -> tuple[int, int]:
    found = os.fstat(netns)
    return found.st_dev, found.st_ino
