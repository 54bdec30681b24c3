"""A container's group while the container runs: where it is frozen, and what a change of its limits writes.

Pure but for `carry_out` and `take_back`. The order of memory's two limits on version 1 is the kernel's: memory may
never be above memory and swap together (cgroup-v1/memory.rst, 8.1), whichever of the two moves.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from wardian.kernel import cgroups, procfs
from wardian.kernel.cgroups import Setting
from wardian.runtime.hostfacts import V2, HostFacts

log = logging.getLogger(__name__)

_LIMIT, _WITH_SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


class Write(NamedTuple):
    """A value for a file of a group that exists."""

    path: str
    value: str
    may_fail: bool = False


def freezer_directory(host: HostFacts, cgroup: str) -> str:
    """The directory that has the freezer of the group `cgroup` (relative to each hierarchy's root)."""
    for controllers, mount in host.cgroup_mounts:
        if "freezer" in controllers.split(","):
            return f"{mount}/{cgroup}"
    return f"{host.cgroup2}/{cgroup}"


def limit_writes(host: HostFacts, cgroup: str, before: dict[str, Any], after: dict[str, Any]) -> tuple[Write, ...]:
    """What makes a group that was limited by linux.resources `before` one that is limited by `after`."""
    if host.cgroup_layout == V2:
        return _writes(f"{host.cgroup2}/{cgroup}", cgroups.v2_settings(before), cgroups.v2_settings(after))
    result: tuple[Write, ...] = ()
    for controllers, mount in host.cgroup_mounts:
        names = frozenset(controllers.split(",")) - {"devices"}
        changed = _writes(f"{mount}/{cgroup}", cgroups.v1_settings(before, names), cgroups.v1_settings(after, names))
        result += _memory_in_order(changed, before) if "memory" in names else changed
    return result


def _writes(directory: str, before: Sequence[Setting], after: Sequence[Setting]) -> tuple[Write, ...]:
    old = set(before)
    return tuple(Write(f"{directory}/{one.file}", one.value, one.may_fail) for one in after if one not in old)


def _memory_in_order(writes: tuple[Write, ...], before: dict[str, Any]) -> tuple[Write, ...]:
    """Memory first, unless it would go above what memory and swap may have now: then that goes up before it."""
    have = (before.get("memory") or {}).get("swap", -1)
    limit = next((int(one.value) for one in writes if one.path.endswith(f"/{_LIMIT}")), 0)
    if have < 0 or limit <= have:
        return writes
    return tuple(sorted(writes, key=lambda one: not one.path.endswith(f"/{_WITH_SWAP}")))


def carry_out(writes: Sequence[Write]) -> tuple[Write, ...]:
    """Returns what `take_back` wants. Raises OSError, with the file's name, from the first that the kernel refuses;
    those before it are taken back."""
    done: list[Write] = []
    for one in writes:
        had = procfs.read(one.path).strip()
        try:
            _write(one)
        except OSError as error:
            if one.may_fail:
                continue
            take_back(done)
            error.filename = one.path
            raise
        done.append(Write(one.path, had))
    return tuple(done)


def take_back(done: Sequence[Write]) -> None:
    """What the files had before, the last first."""
    for one in reversed(done):
        try:
            _write(one)
        except OSError as error:
            log.warning("%s could not be set back to %s: %s", one.path, one.value, error)


def _write(one: Write) -> None:
    fd = os.open(one.path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, one.value.encode())
    finally:
        os.close(fd)
