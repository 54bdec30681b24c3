"""What a control group uses, from the texts of its files: cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst and
cgroup-v2.rst. Pure: who reads the files gives their texts by name; a file that is not there is an empty text.

Times are nanoseconds, sizes bytes, a limit of 0 is none.
"""

from collections.abc import Mapping
from typing import NamedTuple

# by controller; the pressure files are version 2's, and its hierarchy beside version 1's has them too
V1_FILES = {
    "cpuacct": ("cpuacct.usage", "cpuacct.usage_percpu", "cpuacct.stat"),
    "cpu": ("cpu.stat",),
    "memory": (
        "memory.usage_in_bytes",
        "memory.max_usage_in_bytes",
        "memory.limit_in_bytes",
        "memory.failcnt",
        "memory.stat",
        "memory.oom_control",
    ),
    "blkio": ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"),
    "pids": ("pids.current", "pids.max"),
}
V2_FILES = (
    "cpu.stat", "memory.current", "memory.peak", "memory.max", "memory.swap.current", "memory.events", "memory.stat",
    "io.stat", "pids.current", "pids.max",
)  # fmt: skip
PRESSURE_FILES = ("cpu.pressure", "memory.pressure", "io.pressure")

_V1_NO_LIMIT = 1 << 62  # memory.limit_in_bytes of a group without one is the largest number of whole pages
Texts = Mapping[str, str]


class Cpu(NamedTuple):
    total: int
    user: int
    system: int
    per_cpu: tuple[int, ...]
    periods: int
    throttled_periods: int
    throttled: int


class Memory(NamedTuple):
    """`stat` is memory.stat as it is. `cache` is page cache alone: files that could be read again, not shared memory;
    `usage` less `cache` is what the group really holds."""

    usage: int
    peak: int
    limit: int
    failures: int
    oom_kills: int
    anonymous: int
    cache: int
    inactive_file: int
    shared: int
    kernel: int
    swap: int
    stat: dict[str, int]


class Block(NamedTuple):
    major: int
    minor: int
    operation: str
    value: int


class Stall(NamedTuple):
    """Shares of time in percent over the last seconds, and all in microseconds (accounting/psi.rst)."""

    avg10: float
    avg60: float
    avg300: float
    total: int


class GroupStats(NamedTuple):
    """`pressure` by resource, then "some" and "full"; a resource that the kernel tells nothing of is not there."""

    version: int
    cpu: Cpu
    memory: Memory
    bytes: tuple[Block, ...]
    operations: tuple[Block, ...]
    pids: int
    pids_limit: int
    pressure: dict[str, dict[str, Stall]]


def parse_v1(texts: Texts, clock_ticks: int = 100) -> GroupStats:
    tick = 1_000_000_000 // clock_ticks
    times, throttling = numbers(texts.get("cpuacct.stat", "")), numbers(texts.get("cpu.stat", ""))
    return GroupStats(
        1,
        Cpu(
            _number(texts.get("cpuacct.usage", "")),
            times.get("user", 0) * tick,
            times.get("system", 0) * tick,
            tuple(int(one) for one in texts.get("cpuacct.usage_percpu", "").split()),
            throttling.get("nr_periods", 0),
            throttling.get("nr_throttled", 0),
            throttling.get("throttled_time", 0),
        ),
        _v1_memory(texts),
        _v1_blocks(texts.get("blkio.throttle.io_service_bytes_recursive", "")),
        _v1_blocks(texts.get("blkio.throttle.io_serviced_recursive", "")),
        _number(texts.get("pids.current", "")),
        _number(texts.get("pids.max", "")),
        pressures(texts),
    )


def parse_v2(texts: Texts) -> GroupStats:
    cpu = numbers(texts.get("cpu.stat", ""))
    devices = _v2_devices(texts.get("io.stat", ""))
    return GroupStats(
        2,
        Cpu(
            cpu.get("usage_usec", 0) * 1000,
            cpu.get("user_usec", 0) * 1000,
            cpu.get("system_usec", 0) * 1000,
            (),
            cpu.get("nr_periods", 0),
            cpu.get("nr_throttled", 0),
            cpu.get("throttled_usec", 0) * 1000,
        ),
        _v2_memory(texts),
        _v2_blocks(devices, "rbytes", "wbytes"),
        _v2_blocks(devices, "rios", "wios"),
        _number(texts.get("pids.current", "")),
        _number(texts.get("pids.max", "")),
        pressures(texts),
    )


def _v1_memory(texts: Texts) -> Memory:
    stat = numbers(texts.get("memory.stat", ""))
    usage = _number(texts.get("memory.usage_in_bytes", ""))
    limit = _number(texts.get("memory.limit_in_bytes", ""))
    cache, anonymous = stat.get("total_cache", 0), stat.get("total_rss", 0)
    shared = stat.get("total_shmem", 0)
    return Memory(
        usage,
        _number(texts.get("memory.max_usage_in_bytes", "")),
        limit if limit < _V1_NO_LIMIT else 0,
        _number(texts.get("memory.failcnt", "")),
        numbers(texts.get("memory.oom_control", "")).get("oom_kill", 0),
        anonymous,
        min(usage, max(0, cache - shared)),
        stat.get("total_inactive_file", 0),
        shared,
        max(0, usage - cache - anonymous),
        stat.get("total_swap", 0),
        stat,
    )


def _v2_memory(texts: Texts) -> Memory:
    stat = numbers(texts.get("memory.stat", ""))
    usage = _number(texts.get("memory.current", ""))
    events = numbers(texts.get("memory.events", ""))
    file, shared, anonymous = stat.get("file", 0), stat.get("shmem", 0), stat.get("anon", 0)
    return Memory(
        usage,
        _number(texts.get("memory.peak", "")),  # since Linux 5.19
        _number(texts.get("memory.max", "")),
        events.get("oom", 0),
        events.get("oom_kill", 0),
        anonymous,
        min(usage, max(0, file - shared)),
        stat.get("inactive_file", 0),
        shared,
        stat.get("kernel", max(0, usage - file - anonymous)),  # since Linux 5.18
        _number(texts.get("memory.swap.current", "")),
        stat,
    )


def _v1_blocks(text: str) -> tuple[Block, ...]:
    """Lines "254:0 Read 4096"; the last, "Total N", is of no device."""
    found = []
    for line in text.splitlines():
        device, _, rest = line.partition(" ")
        operation, _, value = rest.partition(" ")
        major, colon, minor = device.partition(":")
        if colon and value.isdecimal():
            found.append(Block(int(major), int(minor), operation, int(value)))
    return tuple(found)


def _v2_devices(text: str) -> dict[tuple[int, int], dict[str, int]]:
    """Lines "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0"."""
    found = {}
    for line in text.splitlines():
        device, *fields = line.split()
        major, colon, minor = device.partition(":")
        if colon:
            pairs = (field.partition("=") for field in fields)
            found[int(major), int(minor)] = {key: int(value) for key, _, value in pairs if value.isdecimal()}
    return found


def _v2_blocks(devices: dict[tuple[int, int], dict[str, int]], read: str, write: str) -> tuple[Block, ...]:
    return tuple(
        Block(*device, operation, fields.get(key, 0))
        for device, fields in devices.items()
        for operation, key in (("read", read), ("write", write))
    )


def pressures(texts: Texts) -> dict[str, dict[str, Stall]]:
    """PSI may be off (psi=0), and version 1 has none of its own."""
    found = {}
    for file in PRESSURE_FILES:
        stalls = _stalls(texts.get(file, ""))
        if stalls:
            found[file.partition(".")[0]] = stalls
    return found


def _stalls(text: str) -> dict[str, Stall]:
    """Lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0"."""
    found = {}
    for line in text.splitlines():
        kind, *fields = line.split()
        values = dict(field.partition("=")[::2] for field in fields)
        if "total" in values:
            avg10, avg60, avg300 = (float(values.get(key, "0")) for key in ("avg10", "avg60", "avg300"))
            found[kind] = Stall(avg10, avg60, avg300, int(values["total"]))
    return found


def numbers(text: str) -> dict[str, int]:
    """Lines "key number"."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def _number(text: str) -> int:
    """0 for "max", and for a file that is not there."""
    text = text.strip()
    return int(text) if text.isdecimal() else 0
