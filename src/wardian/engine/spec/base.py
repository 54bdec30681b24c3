"""A container's OCI runtime spec with nothing asked for, with what Docker gives every one without saying so
(runtime-spec 1.2, config.md and config-linux.md).
"""

from typing import Any

from wardian.runtime import defaults

Spec = dict[str, Any]
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
        "mounts": defaults.default_mounts(),
        "linux": {
            "cgroupsPath": cgroups_path,
            "namespaces": [{"type": name} for name in NAMESPACES],
            "resources": {"devices": [dict(row) for row in defaults.DEVICE_RULES]},
            "maskedPaths": list(defaults.MASKED_PATHS),
            "readonlyPaths": list(defaults.READONLY_PATHS),
            "sysctl": dict(QUIET_SYSCTLS),
        },
    }


def capability_sets(names: "tuple[str, ...] | list[str]") -> dict[str, list[str]]:
    return {group: list(names) for group in ("bounding", "effective", "permitted")}


def mount_at(spec: Spec, destination: str) -> dict[str, Any] | None:
    for mount in spec["mounts"]:
        if mount["destination"] == destination:
            return mount  # type: ignore[no-any-return]
    return None


def drop_mount(spec: Spec, destination: str) -> None:
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != destination]
