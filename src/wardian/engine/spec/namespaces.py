"""What options write about namespaces: its own, the host's or another's, and what the kernel keeps in them."""

import os
from typing import TYPE_CHECKING, Any

from wardian.engine.spec.base import Spec, drop_mount

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig


IPC_MOUNTS = "@ipc-mounts"  # the mount namespace of the container whose ipc namespace is joined


def _namespace(spec: Spec, kind: str, mode: str) -> None:
    """host: none of its own; container:ID: `joins` in life/start.py adds the path when it is known."""
    if mode == "host":
        spec["linux"]["namespaces"] = [item for item in spec["linux"]["namespaces"] if item["type"] != kind]


def write_network(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """The kernel keeps net.* in the network namespace: without one of our own the host's stay as they are."""
    _namespace(spec, "network", value)
    if value == "host" or config.joins("network"):
        spec["linux"]["sysctl"] = {}


def write_pid(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    _namespace(spec, "pid", value)


def write_uts(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    _namespace(spec, "uts", value)


def write_ipc(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """A shared ipc namespace shares /dev/shm and /dev/mqueue too; `none` has no /dev/shm (docker run reference)."""
    _namespace(spec, "ipc", value)
    if value == "host":
        for name in ("/dev/shm", "/dev/mqueue"):
            drop_mount(spec, name)
            if os.path.isdir(name):
                spec["mounts"].append({"destination": name, "type": "bind", "source": name, "options": ["rbind", "rw"]})
    elif value == "none":
        drop_mount(spec, "/dev/shm")
    elif config.joins("ipc"):  # /dev/mqueue is of the namespace itself, a new mount shows it
        drop_mount(spec, "/dev/shm")
        shared = {"destination": "/dev/shm", "type": "bind", "source": f"{IPC_MOUNTS}:/dev/shm", "options": ["bind"]}
        spec["mounts"].append(shared)


def write_cgroup_namespace(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if value == "private":
        spec["linux"]["namespaces"].append({"type": "cgroup"})


def write_user(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """One that the start makes before the container, and brings as a descriptor. An id that has no meaning there is
    refused by the kernel (net.ipv4.ping_group_range): the range ends with those that it has."""
    linux = spec["linux"]
    linux["namespaces"].insert(0, {"type": "user", "path": "@user"})
    for key, kind in (("uidMappings", "uids"), ("gidMappings", "gids")):
        linux[key] = [{"containerID": row[0], "hostID": row[1], "size": row[2]} for row in value[kind]]
    if "net.ipv4.ping_group_range" in linux["sysctl"]:
        last = _mapped_from_zero(value["gids"]) - 1
        linux["sysctl"]["net.ipv4.ping_group_range"] = f"0 {min(last, 2147483647)}"


def _mapped_from_zero(rows: list[list[int]]) -> int:
    end = 0
    for first, _, size in sorted(rows):
        if first <= end:
            end = max(end, first + size)
    return end


def write_sysctls(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["linux"]["sysctl"].update(value)
