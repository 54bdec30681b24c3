"""`docker info` and `docker version`: what this engine is, and what its host can do (API 1.51's SystemInfo).

Each function is one part of the answer. What the host's control groups can limit is read from its facts, and what they
cannot is a warning in Docker's words.
"""

import datetime
import logging
import os
import platform
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import wardian
from wardian.engine.life.state import State
from wardian.engine.logging import NAMES as LOG_DRIVERS
from wardian.engine.observe.boot import boot_warnings
from wardian.engine.observe.stats import host_memory
from wardian.engine.options.runtimes import described
from wardian.engine.parts import Parts
from wardian.home import Home
from wardian.kernel import procfs
from wardian.runtime import LAUNCHER, V2, HostFacts

API_VERSION = "1.51"
MIN_API_VERSION = "1.24"
_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_EXTFS = ("ext2", "ext3", "ext4")  # Docker's one word for them
_THROTTLES = ("read_bps", "write_bps", "read_iops", "write_iops")
_REGISTRY = "docker.io"


def version() -> dict[str, Any]:
    uname = os.uname()
    arch = _ARCH.get(uname.machine, uname.machine)
    python = f"python{platform.python_version()}"
    details = {
        "ApiVersion": API_VERSION,
        "Arch": arch,
        "BuildTime": _built(),
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": python,
        "KernelVersion": uname.release,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
    }
    launcher = {"Name": "wardian-launcher", "Version": wardian.__version__, "Details": {"GitCommit": ""}}
    return {
        "Platform": {"Name": "Wardian"},
        "Components": [{"Name": "Engine", "Version": wardian.__version__, "Details": details}, launcher],
        "Version": wardian.__version__,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "GitCommit": "",
        "GoVersion": python,
        "Os": "linux",
        "Arch": arch,
        "KernelVersion": uname.release,
        "BuildTime": details["BuildTime"],
    }


def _built() -> str:
    """When the launcher was compiled."""
    moment = datetime.datetime.fromtimestamp(int(os.stat(LAUNCHER).st_mtime), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000000000+00:00")


def info(parts: Parts, identity: str) -> dict[str, Any]:
    can = limits(parts.host)
    forwards = procfs.read("/proc/sys/net/ipv4/ip_forward").strip() == "1"
    return {
        "ID": identity,
        **_counts(parts),
        **_storage(parts.home),
        "Plugins": _plugins(),
        **can,
        "IPv4Forwarding": forwards,
        **_engine(parts),
        **_host(parts.host),
        **_registries(),
        **_runtimes(),
        "Swarm": _no_swarm(),
        "SecurityOptions": _security_options(parts.host, bool(parts.home.userns_remap)),
        "FirewallBackend": {"Driver": parts.home.network_backend},
        "CDISpecDirs": [],
        "Warnings": _warnings(parts, can, forwards) or None,
        "Wardian": {"LastEvent": parts.events.last},
    }


def _counts(parts: Parts) -> dict[str, int]:
    states = [container.state.state for container in parts.registry]
    running, paused = states.count(State.RUNNING), states.count(State.PAUSED)
    return {
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len(parts.images.list_images()),
    }


def _storage(home: Home) -> dict[str, Any]:
    kind = _filesystem(home.data_root)
    return {
        "Driver": "overlay2",
        "DriverStatus": [
            ["Backing Filesystem", "extfs" if kind in _EXTFS else kind],
            ["Supports d_type", "true"],
            ["Using metacopy", "false"],
            ["Native Overlay Diff", "true"],
            ["userxattr", "false"],
            ["Mounts", "detached: no host-visible mount while a container runs"],
        ],
        "DockerRootDir": home.data_root,
    }


def _filesystem(path: str) -> str:
    """The type of what is mounted where `path` is: the last of the longest."""
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    for mount in procfs.mounts():
        inside = mount.target == "/" or real == mount.target or real.startswith(f"{mount.target}/")
        if inside and len(mount.target) >= len(best):
            best, kind = mount.target, mount.type
    return kind


def _plugins() -> dict[str, Any]:
    return {
        "Volume": ["local"],
        "Network": ["bridge", "host", "ipvlan", "macvlan", "null"],
        "Authorization": None,
        "Log": [name for name in LOG_DRIVERS if name != "none"],
    }


def limits(host: HostFacts) -> dict[str, Any]:
    """What the host's groups can limit, under Docker's names."""
    if host.cgroup_layout == V2:
        have, files = set(host.cgroup2_controllers), host.group_files
        swap = "memory" in have and ("memory.swap.max" in files or "memory.max" not in files)
    else:
        have = {name for controllers, _ in host.cgroup_mounts for name in controllers.split(",")}
        files = host.group_files
        swap = "memory.memsw.limit_in_bytes" in files
    quota = "cpu" in have and (host.cgroup_layout == V2 or "cpu.cfs_quota_us" in files)
    found: dict[str, Any] = {"MemoryLimit": "memory" in have, "SwapLimit": swap}
    if "memory.kmem.tcp.limit_in_bytes" in files:
        found["KernelMemoryTCP"] = True
    return found | {
        "CpuCfsPeriod": quota,
        "CpuCfsQuota": quota,
        "CPUShares": "cpu" in have,
        "CPUSet": "cpuset" in have,
        "PidsLimit": "pids" in have,
        "OomKillDisable": "memory.oom_control" in files,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if host.cgroup_layout == V2 else "1",
    }


def limit_warnings(can: Mapping[str, Any], files: Iterable[str]) -> list[str]:
    """What Docker says of a host that lacks something (its daemon/info_unix.go)."""
    found = [] if can["MemoryLimit"] else ["No memory limit support"]
    found += [] if can["SwapLimit"] else ["No swap limit support"]
    old = can["CgroupVersion"] == "1"
    if old and can["MemoryLimit"]:
        found += [] if can.get("KernelMemoryTCP") else ["No kernel memory TCP limit support"]
        found += [] if can["OomKillDisable"] else ["No oom kill disable support"]
    for key, words in (
        ("CpuCfsQuota", "cpu cfs quota"),
        ("CpuCfsPeriod", "cpu cfs period"),
        ("CPUShares", "cpu shares"),
        ("CPUSet", "cpuset"),
        ("PidsLimit", "pids limit"),
    ):
        found += [] if can[key] else [f"No {words} support"]
    return [f"WARNING: {one}" for one in found + _block_warnings(old, frozenset(files))]


def _block_warnings(old: bool, files: frozenset[str]) -> list[str]:
    if old:
        names = [f"throttle.{name}_device" for name in _THROTTLES]
        return [f"No blkio {name} support" for name in names if f"blkio.{name}" not in files]
    weights = [] if files & {"io.weight", "io.bfq.weight"} else ["No io.weight support", _NO_DEVICE_WEIGHT]
    return weights + ([] if "io.max" in files else [f"No io.max ({name}) support" for name in _MAX])


_NO_DEVICE_WEIGHT = "No io.weight (per device) support"
_MAX = ("rbps", "wbps", "riops", "wiops")


def _warnings(parts: Parts, can: Mapping[str, Any], forwards: bool) -> list[str]:
    found = limit_warnings(can, parts.host.group_files)
    if not forwards:
        found.append("WARNING: IPv4 forwarding is disabled")
    return [*found, *boot_warnings(), *parts.networks.info()]


def _engine(parts: Parts) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    return {
        "Debug": logging.getLogger().isEnabledFor(logging.DEBUG),
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": threading.active_count(),
        "SystemTime": now.isoformat().replace("+00:00", "Z"),
        "LoggingDriver": parts.home.log_driver,
        "NEventsListener": parts.events.listeners(),
        "Labels": list(parts.defaults.now.labels),
        "ExperimentalBuild": False,
        "ServerVersion": wardian.__version__,
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "GenericResources": None,
    }


def _host(host: HostFacts) -> dict[str, Any]:
    uname = os.uname()
    return {
        "KernelVersion": uname.release,
        "OperatingSystem": os_release("PRETTY_NAME") or "Linux",
        "OSVersion": os_release("VERSION_ID"),
        "OSType": "linux",
        "Architecture": uname.machine,
        "NCPU": host.cpus,
        "MemTotal": host_memory(),
        "Name": uname.nodename,
    }


def os_release(key: str) -> str:
    """A value of /etc/os-release (os-release(5)); "" when it is not said."""
    for line in procfs.read("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == key:
            return value.strip("\"'")
    return ""


def _registries() -> dict[str, Any]:
    index = {"Mirrors": [], "Name": _REGISTRY, "Official": True, "Secure": True}
    return {
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "IndexConfigs": {_REGISTRY: index},
            "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
            "Mirrors": None,
        },
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
    }


def _runtimes() -> dict[str, Any]:
    """The init is the launcher itself."""
    return {
        **described(),
        "InitBinary": "wardian-init",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
    }


def _no_swarm() -> dict[str, Any]:
    return {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    }


def _security_options(host: HostFacts, remapped: bool) -> list[str]:
    """Namespaces of control groups are private by default on version 2 alone, as Docker has it."""
    found = ["name=seccomp,profile=builtin"] if host.seccomp else []
    found += ["name=userns"] if remapped else []
    return [*found, "name=cgroupns"] if host.cgroup_layout == V2 else found
