"""A container's OCI runtime spec with nothing asked for, with what Docker gives every one without saying so
(runtime-spec 1.2, config.md and config-linux.md).
"""

from typing import Any

from wardian.runtime import defaults

Spec = dict[str, Any]
DEFAULT_SHM = 64 << 20
# Docker's silent sysctls: unprivileged ports and ping need no capability in a network namespace of one's own
QUIET_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
NAMESPACES = ("mount", "network", "uts", "pid", "ipc")


def base_spec(cgroups_path: str) -> Spec:
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": [],
            "env": [],
            "cwd": "/",
            "capabilities": capability_sets(defaults.DEFAULT_CAPABILITIES),
            "noNewPrivileges": False,
            "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "",
        "mounts": _base_mounts(),
        "linux": {
            "cgroupsPath": cgroups_path,
            "namespaces": [{"type": name} for name in NAMESPACES],
            "resources": {"devices": [dict(row) for row in defaults.DEVICE_RULES]},
            "maskedPaths": list(defaults.MASKED_PATHS),
            "readonlyPaths": list(defaults.READONLY_PATHS),
            "sysctl": dict(QUIET_SYSCTLS),
        },
    }


def _base_mounts() -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *quiet]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*quiet, "mode=1777", f"size={DEFAULT_SHM}"],
        },
    ]


def capability_sets(names: "tuple[str, ...] | list[str]") -> dict[str, list[str]]:
    return {group: list(names) for group in ("bounding", "effective", "permitted")}


def mount_at(spec: Spec, destination: str) -> dict[str, Any] | None:
    for mount in spec["mounts"]:
        if mount["destination"] == destination:
            return mount  # type: ignore[no-any-return]
    return None


def drop_mount(spec: Spec, destination: str) -> None:
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != destination]
