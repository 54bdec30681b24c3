"""A sample as Docker's JSON (`GET /containers/ID/stats`), and what Docker does not show under "Wardian". Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wardian.engine.inspect import rfc3339
from wardian.kernel.group_stats import Block, Cpu, GroupStats, Memory, Stall
from wardian.kernel.host_stats import Traffic

_V1_MEMORY = (
    "active_anon active_file cache dirty hierarchical_memory_limit hierarchical_memsw_limit inactive_anon "
    "inactive_file mapped_file pgfault pgmajfault pgpgin pgpgout rss rss_huge total_active_anon total_active_file "
    "total_cache total_dirty total_inactive_anon total_inactive_file total_mapped_file total_pgfault total_pgmajfault "
    "total_pgpgin total_pgpgout total_rss total_rss_huge total_unevictable total_writeback unevictable writeback"
).split()
_V2_MEMORY = (
    "active_anon active_file anon anon_thp file file_dirty file_mapped file_writeback inactive_anon inactive_file "
    "kernel_stack pgactivate pgdeactivate pgfault pglazyfree pglazyfreed pgmajfault pgrefill pgscan pgsteal shmem slab "
    "slab_reclaimable slab_unreclaimable sock thp_collapse_alloc thp_fault_alloc unevictable workingset_activate "
    "workingset_nodereclaim workingset_refault"
).split()
# what newer kernels tell apart
_V2_SPLIT = {name: (f"{name}_anon", f"{name}_file") for name in ("workingset_refault", "workingset_activate")}
_BLOCK_LISTS = (
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
)  # fmt: skip


class Sample(NamedTuple):
    """What a container and its host had used at `read` (unix ns). `traffic` is None for one without a network."""

    read: int
    group: GroupStats
    system_cpu: int
    cpus: int
    memory_of_host: int
    traffic: dict[str, Traffic] | None


def body(identity: str, name: str, sample: Sample | None, before: Sample | None) -> dict[str, Any]:
    """`sample` is None for a container that does not run, `before` for the first of a stream."""
    head = {
        "name": f"/{name}",
        "id": identity,
        "os_type": "linux",
        "read": rfc3339(sample.read if sample else 0),
        "preread": rfc3339(before.read if sample and before else 0),
    }
    if sample is None:
        return head | _nothing()
    group = sample.group
    found = head | {
        "pids_stats": {"current": group.pids} | ({"limit": group.pids_limit} if group.pids_limit else {}),
        "blkio_stats": _blocks(group),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(sample),
        "precpu_stats": _cpu(before),
        "memory_stats": _memory(group, sample.memory_of_host),
    }
    if sample.traffic:
        found["networks"] = {name: _traffic(one) for name, one in sorted(sample.traffic.items())}
    return found | {"Wardian": own(group)}


def _nothing() -> dict[str, Any]:
    return {
        "pids_stats": {},
        "blkio_stats": dict.fromkeys(_BLOCK_LISTS),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(None),
        "precpu_stats": _cpu(None),
        "memory_stats": {},
    }


def _cpu(sample: Sample | None) -> dict[str, Any]:
    cpu = sample.group.cpu if sample else Cpu(0, 0, 0, (), 0, 0, 0)
    usage: dict[str, Any] = {"total_usage": cpu.total}
    if cpu.per_cpu:
        usage["percpu_usage"] = cpu.per_cpu
    found: dict[str, Any] = {
        "cpu_usage": usage | {"usage_in_kernelmode": cpu.system, "usage_in_usermode": cpu.user},
    }
    if sample:
        found |= {"system_cpu_usage": sample.system_cpu, "online_cpus": sample.cpus}
    return found | {
        "throttling_data": {
            "periods": cpu.periods,
            "throttled_periods": cpu.throttled_periods,
            "throttled_time": cpu.throttled,
        }
    }


def _memory(group: GroupStats, of_host: int) -> dict[str, Any]:
    """Without a limit, Docker says the host's memory."""
    memory = group.memory
    found: dict[str, Any] = {"usage": memory.usage}
    if group.version == 1:
        found |= {"max_usage": memory.peak}
        stat = {name: memory.stat[name] for name in _V1_MEMORY if name in memory.stat}
    else:
        stat = {name: _v2_count(memory.stat, name) for name in _V2_MEMORY}
    found |= {"stats": stat}
    if memory.failures:
        found["failcnt"] = memory.failures
    return found | {"limit": min(memory.limit or of_host, of_host)}


def _v2_count(stat: Mapping[str, int], name: str) -> int:
    return stat.get(name, sum(stat.get(part, 0) for part in _V2_SPLIT.get(name, ())))


def _blocks(group: GroupStats) -> dict[str, Any]:
    """Version 2's groups tell Docker bytes alone."""
    if group.version == 2:
        return dict.fromkeys(_BLOCK_LISTS) | {"io_service_bytes_recursive": _rows(group.bytes) or None}
    told = {"io_service_bytes_recursive": _rows(group.bytes), "io_serviced_recursive": _rows(group.operations)}
    return {name: told.get(name, []) for name in _BLOCK_LISTS}


def _rows(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    return [{"major": one.major, "minor": one.minor, "op": one.operation, "value": one.value} for one in blocks]


def _traffic(one: Traffic) -> dict[str, int]:
    return {
        "rx_bytes": one.received_bytes,
        "rx_packets": one.received_packets,
        "rx_errors": one.received_errors,
        "rx_dropped": one.received_dropped,
        "tx_bytes": one.sent_bytes,
        "tx_packets": one.sent_packets,
        "tx_errors": one.sent_errors,
        "tx_dropped": one.sent_dropped,
    }


def own(group: GroupStats) -> dict[str, Any]:
    """Used and page cache apart, throttling, and pressure (null where the kernel tells none)."""
    cpu = group.cpu
    return {
        "Memory": _own_memory(group.memory),
        "Throttling": {
            "Periods": cpu.periods,
            "ThrottledPeriods": cpu.throttled_periods,
            "ThrottledNanoseconds": cpu.throttled,
        },
        "Pressure": {name: _stalls(one) for name, one in group.pressure.items()} or None,
    }


def _own_memory(memory: Memory) -> dict[str, int]:
    return {
        "Used": memory.usage - memory.cache,
        "PageCache": memory.cache,
        "InactiveFile": memory.inactive_file,
        "Anonymous": memory.anonymous,
        "Shared": memory.shared,
        "Kernel": memory.kernel,
        "Swap": memory.swap,
        "Peak": memory.peak,
        "Limit": memory.limit,
        "OOMKills": memory.oom_kills,
    }


def _stalls(stalls: Mapping[str, Stall]) -> dict[str, Any]:
    return {
        kind: {"Avg10": one.avg10, "Avg60": one.avg60, "Avg300": one.avg300, "TotalMicroseconds": one.total}
        for kind, one in stalls.items()
    }
