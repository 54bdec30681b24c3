"""Control groups (cgroups(7)): OCI resources as files of version 1 and 2, and v2's device rules as BPF."""

import contextlib
import functools
import os
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """A value for a file of a group. One that may fail depends on how the kernel was built or booted."""

    file: str
    value: str
    may_fail: bool = False


# OCI path → v1 controller, file, may fail (config-linux.md, "Control groups"; Documentation/admin-guide/cgroup-v1)
_V1 = (
    ("memory.limit", "memory", "memory.limit_in_bytes", False),
    ("memory.swap", "memory", "memory.memsw.limit_in_bytes", True),
    ("memory.reservation", "memory", "memory.soft_limit_in_bytes", False),
    ("memory.swappiness", "memory", "memory.swappiness", False),
    ("memory.disableOOMKiller", "memory", "memory.oom_control", False),
    ("cpu.shares", "cpu", "cpu.shares", False),
    ("cpu.period", "cpu", "cpu.cfs_period_us", False),
    ("cpu.quota", "cpu", "cpu.cfs_quota_us", False),
    ("cpu.burst", "cpu", "cpu.cfs_burst_us", True),
    ("cpu.realtimePeriod", "cpu", "cpu.rt_period_us", False),
    ("cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", False),
    ("cpu.cpus", "cpuset", "cpuset.cpus", False),
    ("cpu.mems", "cpuset", "cpuset.mems", False),
    ("pids.limit", "pids", "pids.max", False),
    ("blockIO.weight", "blkio", "blkio.weight", True),
    ("blockIO.weight", "blkio", "blkio.bfq.weight", True),  # of the only scheduler that has weights since Linux 5.0
    ("network.classID", "net_cls", "net_cls.classid", False),
)
# Of these, what version 2 has no file for
V1_ONLY = (
    "memory.swappiness",
    "memory.disableOOMKiller",
    "cpu.realtimePeriod",
    "cpu.realtimeRuntime",
    "network.classID",
)
_ZERO_COUNTS = ("memory.swappiness",)  # of any other limit 0 means none
_THROTTLES = (
    ("throttleReadBpsDevice", "read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "write_iops_device", "wiops"),
)


def v1_settings(resources: dict[str, Any], controllers: frozenset[str]) -> list[Setting]:
    """What these controllers' group gets, in the order that the kernel accepts."""
    result = []
    for path, file, may_fail in _v1_rows(controllers):
        value = _at(resources, path)
        if value or (value == 0 and path in _ZERO_COUNTS):
            result.append(Setting(file, _text(path, value), may_fail))
    if "blkio" in controllers:
        for row in (resources.get("blockIO") or {}).get("weightDevice") or ():
            for name in ("blkio.weight_device", "blkio.bfq.weight_device"):
                result.append(Setting(name, f"{row['major']}:{row['minor']} {row['weight']}", True))
        for key, name, _ in _THROTTLES:
            for row in (resources.get("blockIO") or {}).get(key) or ():
                result.append(Setting(f"blkio.throttle.{name}", f"{row['major']}:{row['minor']} {row['rate']}"))
    if "devices" in controllers:
        result += [device_setting(rule) for rule in resources.get("devices") or ()]
    if "hugetlb" in controllers:
        for row in resources.get("hugepageLimits") or ():
            result.append(Setting(f"hugetlb.{row['pageSize']}.limit_in_bytes", str(row["limit"])))
    return result


@functools.cache
def _v1_rows(controllers: frozenset[str]) -> tuple[tuple[str, str, bool], ...]:
    """The rows of one hierarchy, of which most have none: there are a dozen hierarchies and forty rows."""
    return tuple((path, file, may_fail) for path, controller, file, may_fail in _V1 if controller in controllers)


def v2_settings(resources: dict[str, Any]) -> list[Setting]:
    """The same for version 2 (Documentation/admin-guide/cgroup-v2)."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    result = []
    limit, swap = memory.get("limit"), memory.get("swap")
    if limit:
        result.append(Setting("memory.max", "max" if limit < 0 else str(limit)))
    if swap:  # v1 counts memory and swap together, v2 swap alone
        result.append(Setting("memory.swap.max", "max" if swap < 0 else str(max(0, swap - max(0, limit or 0))), True))
    if memory.get("reservation"):
        result.append(Setting("memory.low", str(memory["reservation"])))
    if cpu.get("quota") or cpu.get("period"):
        quota = cpu.get("quota") or 0
        result.append(Setting("cpu.max", f"{quota if quota > 0 else 'max'} {cpu.get('period') or 100000}"))
    if cpu.get("burst"):
        result.append(Setting("cpu.max.burst", str(cpu["burst"]), True))
    if cpu.get("shares"):
        result.append(Setting("cpu.weight", str(1 + (cpu["shares"] - 2) * 9999 // 262142)))
    result += [Setting(f"cpuset.{key}", cpu[key]) for key in ("cpus", "mems") if cpu.get(key)]
    pids = (resources.get("pids") or {}).get("limit")
    if pids:
        result.append(Setting("pids.max", "max" if pids < 0 else str(pids)))
    block = resources.get("blockIO") or {}
    if block.get("weight"):
        result.append(Setting("io.bfq.weight", str(block["weight"]), True))
        result.append(Setting("io.weight", f"default {_weight(block['weight'])}", True))
    for row in block.get("weightDevice") or ():
        device = f"{row['major']}:{row['minor']}"
        result.append(Setting("io.bfq.weight", f"{device} {row['weight']}", True))
        result.append(Setting("io.weight", f"{device} {_weight(row['weight'])}", True))
    for key, _, name in _THROTTLES:
        result += [
            Setting("io.max", f"{row['major']}:{row['minor']} {name}={row['rate']}") for row in block.get(key) or ()
        ]
    result += [
        Setting(f"hugetlb.{row['pageSize']}.max", str(row["limit"])) for row in resources.get("hugepageLimits") or ()
    ]
    return result + [Setting(file, value) for file, value in (resources.get("unified") or {}).items()]


def _weight(weight: int) -> int:
    """Version 1's 10 to 1000 as version 2's 1 to 10000."""
    return 1 + (weight - 10) * 9999 // 990


def device_setting(rule: dict[str, Any]) -> Setting:
    """One rule of v1's device list: "c 1:3 rwm" to devices.allow or devices.deny; a rule for all is "a"."""
    file = "devices.allow" if rule.get("allow") else "devices.deny"
    kind = rule.get("type") or "a"
    if kind == "a":
        return Setting(file, "a")
    numbers = ":".join("*" if rule.get(key) in (None, -1) else str(rule[key]) for key in ("major", "minor"))
    return Setting(file, f"{kind} {numbers} {rule.get('access') or 'rwm'}")


_ACCESS = {"m": 1, "r": 2, "w": 4}  # linux/bpf.h, BPF_DEVCG_ACC_*
_DEVICE_TYPES = {"b": 1, "c": 2, "u": 2}  # BPF_DEVCG_DEV_*; "u", unbuffered, is a character device


def device_program(rules: list[dict[str, Any]]) -> bytes:
    """A BPF_PROG_TYPE_CGROUP_DEVICE program for these rules: the last one that fits decides, with none it is no.

    struct bpf_cgroup_dev_ctx is {access_type << 16 | device type, major, minor}. b"" when there is nothing to forbid.
    """
    if not rules or (all(rule.get("allow") for rule in rules) and any(_for_all(rule) for rule in rules)):
        return b""
    code = [
        _instruction(0x61, 2, 1, 0),  # r2 = type and access
        _instruction(0xBF, 3, 2),
        _instruction(0x57, 2, 0, 0, 0xFFFF),  # r2 = type
        _instruction(0x77, 3, 0, 0, 16),  # r3 = access
        _instruction(0x61, 4, 1, 4),  # r4 = major
        _instruction(0x61, 5, 1, 8),  # r5 = minor
    ]
    for rule in reversed(rules):
        code += _device_rule(rule)
        if _for_all(rule) and rule.get("major") in (None, -1) and rule.get("minor") in (None, -1):
            return b"".join(code)  # it fits always: the kernel's verifier refuses what can never be reached
    code += [_instruction(0xB7, 0, 0, 0, 0), _instruction(0x95)]
    return b"".join(code)


def _device_rule(rule: dict[str, Any]) -> list[bytes]:
    """Tests that jump over the answer when the rule does not fit; jumps are patched once the length is known."""
    tests: list[tuple[int, int, int]] = []  # opcode of "jump when it does not fit", register, number
    if rule.get("type") in _DEVICE_TYPES:
        tests.append((0x55, 2, _DEVICE_TYPES[rule["type"]]))
    for register, key in ((4, "major"), (5, "minor")):
        if rule.get(key) not in (None, -1):
            tests.append((0x55, register, rule[key]))
    bits = sum(_ACCESS[letter] for letter in rule.get("access") or "rwm")
    code: list[bytes] = []
    end = [_instruction(0xB7, 0, 0, 0, 1 if rule.get("allow") else 0), _instruction(0x95)]
    access: list[bytes] = []
    if bits != 7:
        # allow: every wanted bit must be granted; deny: one wanted bit that is denied is enough
        mask = ~bits & 7 if rule.get("allow") else bits
        opcode = 0x55 if rule.get("allow") else 0x15
        access = [_instruction(0xBF, 1, 3), _instruction(0x57, 1, 0, 0, mask), _instruction(opcode, 1, 0, len(end), 0)]
    left = len(tests) + len(access) + len(end)
    for opcode, register, number in tests:
        left -= 1
        code.append(_instruction(opcode, register, 0, left, number))
    return code + access + end


def _instruction(opcode: int, to: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, to | source << 4, offset, number)


def _for_all(rule: dict[str, Any]) -> bool:
    return (rule.get("type") or "a") == "a" and set(rule.get("access") or "rwm") == set("rwm")


def _at(resources: dict[str, Any], path: str) -> Any:
    group, _, key = path.partition(".")
    return (resources.get(group) or {}).get(key)


def _text(path: str, value: Any) -> str:
    if path == "pids.limit" and value < 0:
        return "max"
    return "1" if value is True else str(value)


def remove_empty(mounts: Iterable[str], group: str) -> None:
    """Remove a group and those below it, as far as they are empty: rmdir refuses one that holds a process."""
    for mount in mounts:
        for directory, _, _ in os.walk(os.path.join(mount, group), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
