"""What options write about limits of the container's group (config-linux.md, "Control groups")."""

from typing import TYPE_CHECKING, Any

from wardian.engine.spec.base import Spec

if TYPE_CHECKING:
    from wardian.engine.config import ContainerConfig


def write_memory(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Docker: with a limit and no MemorySwap, as much swap again as memory."""
    memory: dict[str, int] = {}
    limit, swap, reservation = (config[f"HostConfig.{name}"] for name in ("Memory", "MemorySwap", "MemoryReservation"))
    if limit:
        memory["limit"] = limit
        memory["swap"] = swap or limit * 2
    if reservation:
        memory["reservation"] = reservation
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
    }
    for key, name in rows.items():
        if setting := config[f"HostConfig.{name}"]:
            cpu[key] = setting
    if cpu:
        spec["linux"]["resources"]["cpu"] = cpu


def write_pids(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if value > 0:
        spec["linux"]["resources"]["pids"] = {"limit": value}
