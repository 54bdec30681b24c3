"""What options write about limits of the container's group (config-linux.md, "Control groups")."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wardian.engine.spec.base import Spec
from wardian.errors import INVALID, WardianError

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig

Writer = Callable[[Spec, Any, "ContainerConfig"], None]


def resources_of(config: "ContainerConfig") -> dict[str, Any]:
    """The limits of a container as linux.resources of the runtime spec, without its devices."""
    spec: Spec = {"linux": {"resources": {}}}
    write_memory(spec, None, config)
    write_cpu(spec, None, config)
    write_pids(spec, config["HostConfig.PidsLimit"], config)
    write_block_weight(spec, config["HostConfig.BlkioWeight"], config)
    found: dict[str, Any] = spec["linux"]["resources"]
    return found


def write_memory(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Docker: with a limit and no MemorySwap, as much swap again as memory."""
    memory: dict[str, int] = {}
    limit, swap, reservation = (config[f"HostConfig.{name}"] for name in ("Memory", "MemorySwap", "MemoryReservation"))
    if limit:
        memory["limit"] = limit
        memory["swap"] = swap or limit * 2
    if reservation:
        memory["reservation"] = reservation
    if (swappiness := config["HostConfig.MemorySwappiness"]) is not None:
        memory["swappiness"] = swappiness
    if config["HostConfig.OomKillDisable"]:
        memory["disableOOMKiller"] = True
    if memory:
        spec["linux"]["resources"]["memory"] = memory


def write_cpu(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    cpu: dict[str, Any] = {}
    if nano := config["HostConfig.NanoCpus"]:
        cpu["period"] = 100_000
        cpu["quota"] = max(1000, nano * 100_000 // 1_000_000_000)
    rows = {
        "shares": "CpuShares",
        "quota": "CpuQuota",
        "period": "CpuPeriod",
        "cpus": "CpusetCpus",
        "mems": "CpusetMems",
        "realtimePeriod": "CpuRealtimePeriod",
        "realtimeRuntime": "CpuRealtimeRuntime",
    }
    for key, name in rows.items():
        if setting := config[f"HostConfig.{name}"]:
            cpu[key] = setting
    if cpu:
        spec["linux"]["resources"]["cpu"] = cpu


def write_pids(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if value > 0:
        spec["linux"]["resources"]["pids"] = {"limit": value}


def write_block_weight(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if value:
        _block(spec)["weight"] = value


def write_weight_devices(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    _block(spec)["weightDevice"] = [_device(item["Path"]) | {"weight": item["Weight"]} for item in value]


def _throttle(key: str) -> Writer:
    def write(spec: Spec, value: Any, config: "ContainerConfig") -> None:
        _block(spec)[key] = [_device(item["Path"]) | {"rate": item["Rate"]} for item in value]

    return write


write_read_bps = _throttle("throttleReadBpsDevice")
write_write_bps = _throttle("throttleWriteBpsDevice")
write_read_iops = _throttle("throttleReadIOPSDevice")
write_write_iops = _throttle("throttleWriteIOPSDevice")


def _block(spec: Spec) -> dict[str, Any]:
    found: dict[str, Any] = spec["linux"]["resources"].setdefault("blockIO", {})
    return found


def _device(path: str) -> dict[str, int]:
    try:
        number = os.stat(path).st_rdev
    except OSError as error:
        message = f"stat {path}: {(error.strerror or '').lower()}"
        raise WardianError(INVALID, message, operation="create", subject=path, errno=error.errno or 0) from None
    return {"major": os.major(number), "minor": os.minor(number)}
