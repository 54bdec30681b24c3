"""update: other limits, and another restart policy, for a container that exists; one that runs has the limits at once.

    body ─ checked by the options' rows, and together ─▶ values ─▶ the group's files (runtime.limit_writes) ─▶ its row

When the kernel refuses it, or it cannot be written down, it is taken back, and then nothing has changed.
"""

import errno
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from wardian.engine.life import create
from wardian.engine.life.state import State
from wardian.engine.options import table as options
from wardian.engine.options.checks import not_built
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.decode import decode
from wardian.engine.options.limit_checks import settle_limits
from wardian.engine.options.table import HOST
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.spec.resources import resources_of
from wardian.engine.workers import work
from wardian.errors import CONFLICT, INVALID, SYSTEM, WardianError
from wardian.runtime import Write, carry_out, limit_writes, take_back

_LIMITS = (
    "BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "Memory",
    "MemorySwap", "MemoryReservation", "CpuRealtimePeriod", "CpuRealtimeRuntime", "PidsLimit",
)  # fmt: skip
_FIXED = ("KernelMemory", "KernelMemoryTCP", "MemorySwappiness", "OomKillDisable")
_POLICY = "RestartPolicy"


async def update(parts: Parts, container: Container, body: Mapping[str, Any]) -> list[str]:
    """Returns the warnings. Raises WardianError in Docker's words."""
    changes, warnings = decode_update(parts, body)
    if container.state.state in (State.REMOVING, State.DEAD):
        raise _cannot(container, 'container is marked for removal and cannot be "update"')
    before = container.config
    _check_together(container, before, changes)
    if HOST + "Memory" in changes:
        changes = {HOST + "MemorySwap": _swap_of(before), **changes}  # it stays where it is, unless it is said
    after = before.replaced(changes)
    applied = await _apply(parts, container, before, after) if container.state.live else ()
    try:
        _store(parts, container, after)
    except BaseException:  # a full disk, say
        if container.state.live:
            await work(lambda _: take_back(applied), lambda _: None, "wardian-update")
        raise
    return warnings


def decode_update(parts: Parts, body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What a body changes, as options, and the warnings. A zero changes nothing, but for PidsLimit."""
    for name, value in body.items():
        if value and name not in (*_LIMITS, *_FIXED, _POLICY):
            raise not_built(name, f"{name} of an update")
    limits = {name: body[name] for name in _LIMITS if body.get(name)}
    swap = limits.get("MemorySwap")
    if not limits.get("Memory"):  # the rule of both is for both: what it has already is looked at later
        limits.pop("MemorySwap", None)
    changes = decode({"HostConfig": limits})
    policy = body.get(_POLICY)
    more = {"MemorySwap": swap, _POLICY: policy if isinstance(policy, dict) and policy.get("Name") else None}
    for name, value in more.items():
        if value:
            changes[HOST + name] = options.ROWS[HOST + name].check(value, HOST + name)
    warnings = _said_of_fixed(body) + settle_limits(changes, parts.host)
    if body.get("PidsLimit") is not None:
        changes[HOST + "PidsLimit"] = max(0, options.ROWS[HOST + "PidsLimit"].check(body["PidsLimit"], "PidsLimit"))
    return changes, warnings


def _said_of_fixed(body: Mapping[str, Any]) -> list[str]:
    """What Docker checks and then leaves as it was, without a word."""
    warnings = []
    for name in _FIXED:
        value = body.get(name)
        if value and value not in options.ROWS[HOST + name].absent:
            options.ROWS[HOST + name].check(value, HOST + name)
            warnings.append(f"An update does not change {name}. {name} discarded.")
    return warnings


def _check_together(container: Container, old: ContainerConfig, changes: Mapping[str, Any]) -> None:
    """What would contradict the limits that it has."""

    def new(name: str) -> Any:
        return changes.get(HOST + name) or 0

    conflicts = (
        ("NanoCpus", "CpuPeriod", "Nano CPUs cannot be updated as CPU Period has already been set"),
        ("NanoCpus", "CpuQuota", "Nano CPUs cannot be updated as CPU Quota has already been set"),
        ("CpuPeriod", "NanoCpus", "CPU Period cannot be updated as NanoCPUs has already been set"),
        ("CpuQuota", "NanoCpus", "CPU Quota cannot be updated as NanoCPUs has already been set"),
    )
    for name, other, message in conflicts:
        if new(name) > 0 and old[HOST + other] > 0:
            raise _cannot(container, f"Conflicting options: {message}")
    if new("Memory") and new("Memory") > _swap_of(old) and not new("MemorySwap"):
        message = (
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
        raise _cannot(container, message)
    memory = new("Memory") or old[HOST + "Memory"]
    if new("MemorySwap") > 0 and not memory:  # as at a create; to Docker its kernel says EINVAL
        message = "You should always set the Memory limit when using Memoryswap limit, see usage"
        raise _cannot(container, message, INVALID)
    if 0 < new("MemorySwap") < memory:
        raise _cannot(container, "Minimum memoryswap limit should be larger than memory limit, see usage")
    policy = changes.get(f"{HOST}{_POLICY}")
    if policy and policy["Name"] not in ("", "no") and old[HOST + "AutoRemove"]:
        message = "Restart policy cannot be updated because AutoRemove is enabled for the container"
        raise _cannot(container, message)


def _swap_of(config: ContainerConfig) -> int:
    """The limit of memory and swap together, which create made of the memory's when it was not said."""
    return int(config[HOST + "MemorySwap"] or 2 * config[HOST + "Memory"])


async def _apply(
    parts: Parts, container: Container, before: ContainerConfig, after: ContainerConfig
) -> tuple[Write, ...]:
    """In a thread: the kernel makes room first when memory's limit goes down. Returns what takes it back."""
    group = create.cgroup_of(parts, before)
    old, new = resources_of(before), resources_of(after)
    if "pids" in old and "pids" not in new:
        new["pids"] = {"limit": -1}
    writes = limit_writes(parts.host, group, old, new)
    try:
        return await work(lambda _: carry_out(writes), lambda _: None, "wardian-update")
    except OSError as error:
        if not container.state.live or _group_is_gone(error):
            return ()  # it ended meanwhile: what it starts with next is all there is to change
        message = f"{error.filename}: {(error.strerror or '').lower()}"
        raise _cannot(container, message, SYSTEM, error.errno or 0) from error


def _group_is_gone(error: OSError) -> bool:
    """The group of one that ends goes before its state says so; ENODEV is of a file that was open by then."""
    if error.errno not in (errno.ENOENT, errno.ENODEV):
        return False
    return not os.path.exists(os.path.dirname(error.filename))


def _store(parts: Parts, container: Container, config: ContainerConfig) -> None:
    record = container.record._replace(values=config.values())
    _write_spec(parts, config)
    try:
        parts.store.replace(record)
    except BaseException:
        _write_spec(parts, container.config)
        raise
    container.record, container.config = record, config


def _write_spec(parts: Parts, config: ContainerConfig) -> None:
    spec = options.write_spec(config, create.cgroup_of(parts, config))
    create.write_file(f"{config.directory}/config.json", msgspec.json.encode(spec))


def _cannot(container: Container, why: str, kind: str = CONFLICT, number: int = 0) -> WardianError:
    message = f"Cannot update container {container.id}: {why}"
    return WardianError(kind, message, operation="update", subject=container.id, errno=number)
