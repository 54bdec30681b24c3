"""Limits that this kernel cannot hold, and those that it cannot hold together.

Docker discards a limit that the kernel has no file for, and warns: so do we, in its words, where it does.
"""

from typing import Any, NamedTuple

from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST
from wardian.errors import INVALID, WardianError
from wardian.runtime import V2, HostFacts

_NO_CGROUP = "or the cgroup is not mounted"


class Discard(NamedTuple):
    """An option that needs one of these files in its group: on version 1, on version 2."""

    name: str
    version1: tuple[str, ...]
    version2: tuple[str, ...]
    warning: str


def _throttle(name: str, file: str, what: str, short: str) -> Discard:
    warning = f"Your kernel does not support {what} {_NO_CGROUP}. Block I/O {short} limit discarded."
    return Discard(name, (f"blkio.throttle.{file}_device",), ("io.max",), warning)


DISCARDS = (
    Discard(
        "MemorySwappiness",
        ("memory.swappiness",),
        (),
        f"Your kernel does not support memory swappiness capabilities {_NO_CGROUP}. Memory swappiness discarded.",
    ),
    Discard(
        "OomKillDisable",
        ("memory.oom_control",),
        (),
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    ),
    Discard(
        "BlkioWeight",
        ("blkio.weight", "blkio.bfq.weight"),
        ("io.weight", "io.bfq.weight"),
        f"Your kernel does not support Block I/O weight {_NO_CGROUP}. Weight discarded.",
    ),
    Discard(
        "BlkioWeightDevice",
        ("blkio.weight_device", "blkio.bfq.weight_device"),
        ("io.weight", "io.bfq.weight"),
        f"Your kernel does not support Block I/O weight_device {_NO_CGROUP}. Weight-device discarded.",
    ),
    _throttle("BlkioDeviceReadBps", "read_bps", "BPS Block I/O read limit", "BPS read"),
    _throttle("BlkioDeviceWriteBps", "write_bps", "BPS Block I/O write limit", "BPS write"),
    _throttle("BlkioDeviceReadIOps", "read_iops", "IOPS Block read limit", "IOPS read"),
    _throttle("BlkioDeviceWriteIOps", "write_iops", "IOPS Block write limit", "IOPS write"),
    Discard("KernelMemory", (), (), "A limit of kernel memory alone is gone from Linux. KernelMemory discarded."),
    Discard("KernelMemoryTCP", (), (), "A limit of kernel memory alone is gone from Linux. KernelMemoryTCP discarded."),
)


def settle_limits(values: dict[str, Any], host: HostFacts) -> list[str]:
    """Takes out of `values` what this kernel cannot limit; returns the warnings. Raises INVALID in Docker's words."""
    warnings = []
    for row in DISCARDS:
        files = row.version2 if host.cgroup_layout == V2 else row.version1
        if values.get(HOST + row.name) and not host.group_files.intersection(files):
            del values[HOST + row.name]
            warnings.append(row.warning)
    config = ContainerConfig(values)
    _check_real_time(config, host)
    if not (config[HOST + "BlkioWeight"] == 0 or 10 <= config[HOST + "BlkioWeight"] <= 1000):
        _refuse("BlkioWeight", "Range of blkio weight is from 10 to 1000")
    if config[HOST + "OomKillDisable"] and not config[HOST + "Memory"]:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    return warnings


def _check_real_time(config: ContainerConfig, host: HostFacts) -> None:
    period, runtime = config[HOST + "CpuRealtimePeriod"], config[HOST + "CpuRealtimeRuntime"]
    if (period or runtime) and (host.cgroup_layout == V2 or "cpu.rt_runtime_us" not in host.group_files):
        _refuse("CpuRealtimePeriod", "kernel does not support CPU real-time scheduler")
    if period and runtime > period:
        _refuse("CpuRealtimeRuntime", "cpu real-time runtime cannot be higher than cpu real-time period")


def _refuse(name: str, message: str) -> None:
    raise WardianError(INVALID, message, operation="create", subject=HOST + name)
