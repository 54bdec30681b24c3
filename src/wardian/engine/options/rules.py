"""Rules between options: what each may be by itself, and not together. In docker's words, which people search for."""

import os
from collections.abc import Callable

from wardian.engine.files.names import timezone_file
from wardian.engine.options import checks
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST, OURS
from wardian.engine.volumes.points import refuse_duplicates
from wardian.errors import INVALID, WardianError
from wardian.kernel import procfs
from wardian.network import parse_bindings


def _refuse(path: str, message: str) -> None:
    raise WardianError(INVALID, message, operation="create", subject=path)


def _memory_rule(config: ContainerConfig) -> None:
    limit, swap, reservation = (config[HOST + name] for name in ("Memory", "MemorySwap", "MemoryReservation"))
    if 0 < limit < 6 << 20:
        _refuse(HOST + "Memory", "Minimum memory limit allowed is 6MB")
    if swap > 0 and not limit:
        message = "You should always set the Memory limit when using Memoryswap limit, see usage"
        _refuse(HOST + "MemorySwap", message)
    if limit and 0 < swap < limit:
        _refuse(HOST + "MemorySwap", "Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < reservation < 6 << 20:
        _refuse(HOST + "MemoryReservation", "Minimum memory reservation allowed is 6MB")
    if limit and reservation > limit:
        message = "Minimum memory limit can not be less than memory reservation limit, see usage"
        _refuse(HOST + "MemoryReservation", message)


def _cpu_rule(config: ContainerConfig) -> None:
    nano = config[HOST + "NanoCpus"]
    if nano and config[HOST + "CpuPeriod"]:
        _refuse(HOST + "NanoCpus", "Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if nano and config[HOST + "CpuQuota"]:
        _refuse(HOST + "NanoCpus", "Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    if nano:
        count = os.cpu_count() or 1
        if not 10_000_000 <= nano <= count * 1_000_000_000:
            message = f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
            _refuse(HOST + "NanoCpus", message)
    period = config[HOST + "CpuPeriod"]
    if period and not 1000 <= period <= 1_000_000:
        _refuse(
            HOST + "CpuPeriod", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if config[HOST + "CpuShares"] == 1:  # the kernel would make two of it and say nothing
        _refuse(HOST + "CpuShares", "the minimum allowed cpu-shares is 2")
    if 0 < config[HOST + "CpuQuota"] < 1000:
        _refuse(HOST + "CpuQuota", "CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _cpuset_rule(config: ContainerConfig) -> None:
    for name, what, kind in (("CpusetCpus", "CPUs", "cpu"), ("CpusetMems", "memory nodes", "node")):
        asked = config[HOST + name]
        if not asked:
            continue
        available = procfs.read(f"/sys/devices/system/{kind}/online").strip() or "0"
        if not checks.listed_numbers(asked) <= checks.listed_numbers(available):
            message = f"Requested {what} are not available - requested {asked}, available: {available}"
            _refuse(HOST + name, message)


def _network_rule(config: ContainerConfig) -> None:
    mode = config[HOST + "NetworkMode"]
    joined = mode == "host" or config.joins("network")
    if config.joins("network") and config["Hostname"]:
        _refuse("Hostname", "conflicting options: hostname and the network mode")
    for name, what in (("Dns", "dns"), ("ExtraHosts", "custom host-to-IP mapping")):
        if config.joins("network") and config[HOST + name]:
            _refuse(HOST + name, f"conflicting options: {what} and the network mode")
    if config.joins("network"):
        _joined_network_rule(config)
    parse_bindings(config[HOST + "PortBindings"], config["ExposedPorts"], config[HOST + "PublishAllPorts"])
    for key in config[HOST + "Sysctls"]:
        if key.startswith("net.") and joined:
            _refuse(HOST + "Sysctls", f"sysctl '{key}' not allowed in host network namespace")
        if checks.is_ipc_sysctl(key) and config[HOST + "IpcMode"] == "host":
            _refuse(HOST + "Sysctls", f"sysctl '{key}' not allowed in host ipc namespace")


def _joined_network_rule(config: ContainerConfig) -> None:
    """What belongs to the link is the other container's to say."""
    conflicts = (
        (HOST + "PortBindings", "port publishing and the container type network mode"),
        (HOST + "PublishAllPorts", "port publishing and the container type network mode"),
        ("ExposedPorts", "port exposing and the container type network mode"),
        ("MacAddress", "mac-address and the network mode"),
    )
    for path, what in conflicts:
        if config[path]:
            _refuse(path, f"conflicting options: {what}")


def _timezone_rule(config: ContainerConfig) -> None:
    zone = config[OURS + "Timezone"]
    if zone and not os.path.isfile(timezone_file(zone)):
        _refuse(OURS + "Timezone", f"unknown time zone {zone}: this host has no {timezone_file(zone)}")


def _uts_rule(config: ContainerConfig) -> None:
    if config["HostConfig.UTSMode"] == "host" and config["Hostname"]:
        _refuse("Hostname", "conflicting options: hostname and the UTS mode")


RULES: tuple[Callable[[ContainerConfig], None], ...] = (
    _memory_rule,
    _cpu_rule,
    _cpuset_rule,
    _network_rule,
    _uts_rule,
    _timezone_rule,
    refuse_duplicates,
)
