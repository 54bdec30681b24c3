"""What this engine and this host are: `docker info`, `docker version`, ping."""

import datetime
import os
import platform
from typing import Any

import wardian
from wardian.engine.boot import boot_warnings
from wardian.engine.parts import Parts
from wardian.engine.state import State
from wardian.kernel import procfs

API_VERSION = "1.51"
MIN_API_VERSION = "1.24"
_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class System:
    def __init__(self, parts: Parts, identity: str) -> None:
        self._parts = parts
        self._identity = identity

    def ping(self) -> dict[str, str]:
        return {
            "Api-Version": API_VERSION,
            "Builder-Version": "1",
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Swarm": "inactive",
            "Server": f"Wardian/{wardian.__version__} (linux)",
        }

    def version(self) -> dict[str, Any]:
        uname = os.uname()
        arch = _ARCH.get(uname.machine, uname.machine)
        details = {
            "ApiVersion": API_VERSION,
            "Arch": arch,
            "KernelVersion": uname.release,
            "MinAPIVersion": MIN_API_VERSION,
            "Os": "linux",
        }
        return {
            "Platform": {"Name": "Wardian"},
            "Components": [{"Name": "Engine", "Version": wardian.__version__, "Details": details}],
            "Version": wardian.__version__,
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "GitCommit": "",
            "GoVersion": f"python{platform.python_version()}",
            "Os": "linux",
            "Arch": arch,
            "KernelVersion": uname.release,
        }

    def info(self) -> dict[str, Any]:
        parts = self._parts
        states = [container.state.state for container in parts.registry]
        host = parts.host
        return {
            "ID": self._identity,
            "Containers": len(states),
            "ContainersRunning": states.count(State.RUNNING),
            "ContainersPaused": states.count(State.PAUSED),
            "ContainersStopped": len(states) - states.count(State.RUNNING) - states.count(State.PAUSED),
            "Images": len(parts.images.list_images()),
            "Driver": "overlay2",
            "DriverStatus": [["Mounts", "detached: no host-visible mount while a container runs"]],
            "Plugins": {
                "Volume": ["local"],
                "Network": ["bridge", "host", "ipvlan", "macvlan", "null"],
                "Authorization": None,
                "Log": ["json-file"],
            },
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": "2" if host.cgroup_layout == "v2" else "1",
            "LoggingDriver": "json-file",
            "MemoryLimit": True,
            "SwapLimit": True,
            "CpuCfsPeriod": True,
            "CpuCfsQuota": True,
            "CPUShares": True,
            "CPUSet": True,
            "PidsLimit": True,
            "IPv4Forwarding": procfs.read("/proc/sys/net/ipv4/ip_forward").strip() == "1",
            "OomKillDisable": "memory.oom_control" in host.group_files,
            "Debug": False,
            "NFd": len(os.listdir("/proc/self/fd")),
            "NGoroutines": 1,
            "NEventsListener": parts.events.listeners(),
            "SystemTime": datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z"),
            "KernelVersion": os.uname().release,
            "OperatingSystem": _operating_system(),
            "OSVersion": "",
            "OSType": "linux",
            "Architecture": os.uname().machine,
            "NCPU": host.cpus,
            "MemTotal": _memory_total(),
            "IndexServerAddress": "https://index.docker.io/v1/",
            "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"], "IndexConfigs": {}, "Mirrors": []},
            "GenericResources": None,
            "DockerRootDir": parts.home.data_root,
            "HttpProxy": "",
            "HttpsProxy": "",
            "NoProxy": "",
            "Name": os.uname().nodename,
            "Labels": [],
            "ExperimentalBuild": False,
            "ServerVersion": wardian.__version__,
            "Runtimes": {"wardian": {"path": "wardian-runtime"}},
            "DefaultRuntime": "wardian",
            "Swarm": {
                "NodeID": "",
                "NodeAddr": "",
                "LocalNodeState": "inactive",
                "ControlAvailable": False,
                "Error": "",
            },
            "LiveRestoreEnabled": True,
            "Isolation": "",
            "InitBinary": "",
            "ContainerdCommit": {"ID": ""},
            "RuncCommit": {"ID": ""},
            "InitCommit": {"ID": ""},
            "SecurityOptions": self._security_options(),
            "FirewallBackend": {"Driver": parts.home.network_backend},
            "Warnings": [*parts.networks.info(), *boot_warnings()] or None,
            "Wardian": {"LastEvent": parts.events.last},
        }

    def _security_options(self) -> list[str]:
        return ["name=seccomp,profile=builtin"] if self._parts.host.seccomp else []

    def disk_usage(self) -> dict[str, Any]:
        parts = self._parts
        images = parts.images.list_images()
        counts: dict[str, int] = {}
        for container in parts.registry:
            counts[container.record.image] = counts.get(container.record.image, 0) + 1
        layers = {layer for image in images for layer in image.layers}
        from wardian.engine.inspect import render_summary
        from wardian.engine.volumes import Volumes
        from wardian.images import summary

        return {
            "LayersSize": sum(parts.layers.facts(layer).size for layer in layers),
            "Images": [summary(image, counts.get(image.id, 0)) for image in images],
            "Containers": [
                render_summary(container, {}, ()) | {"SizeRw": parts.snapshots.size(container.id)}
                for container in parts.registry
            ],
            "Volumes": Volumes(parts).usage(),
            "BuildCache": [],
        }


def _operating_system() -> str:
    for line in procfs.read("/etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip('"')
    return "Linux"


def _memory_total() -> int:
    for line in procfs.read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
