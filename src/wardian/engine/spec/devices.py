"""What options write about devices: nodes of the host's in the container, and the group's rules for them."""

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from wardian.engine.spec.base import Spec
from wardian.errors import INVALID, WardianError

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig

_COMMON_DEVICES = ("null", "zero", "full", "random", "urandom")


def host_devices() -> list[dict[str, Any]]:
    """The host's device nodes but pseudo-terminals and what every container has anyway."""
    skip = {
        "console",
        "pts",
        "shm",
        "mqueue",
        "fd",
        "stdin",
        "stdout",
        "stderr",
        "core",
        "ptmx",
        "tty",
        *_COMMON_DEVICES,
    }
    return _devices_below("/dev", skip)


def _devices_below(directory: str, skip: "set[str] | frozenset[str]" = frozenset()) -> list[dict[str, Any]]:
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name in skip or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                found.extend(_devices_below(entry.path))
            elif (device := _device(entry.path, entry.path)) is not None:
                found.append(device)
    return found


def _device(path: str, inside: str) -> dict[str, Any] | None:
    status = os.stat(path)
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return None
    return {
        "path": inside,
        "source": path,
        "type": "c" if stat.S_ISCHR(status.st_mode) else "b",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def write_devices(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    linux = spec["linux"]
    for item in value:
        source = item["PathOnHost"]
        inside = item.get("PathInContainer") or source
        try:
            found = _device(source, inside)
            devices = [found] if found else _devices_below(source)
        except NotADirectoryError as error:
            raise _no_device(source, "not a device node", error.errno) from None
        except OSError as error:
            raise _no_device(source, (error.strerror or "").lower(), error.errno) from None
        if not devices:
            raise _no_device(source, "not a device node", errno.ENODEV)
        for device in devices:
            device["path"] = inside + device["path"].removeprefix(source) if device["path"] != inside else inside
            linux.setdefault("devices", []).append(device)
            rule = {"allow": True, "type": device["type"], "major": device["major"], "minor": device["minor"]}
            linux["resources"]["devices"].append(rule | {"access": item.get("CgroupPermissions") or "rwm"})


def write_device_rules(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Access alone, without a node: "c 1:* rwm" (cgroup-v1/devices.rst)."""
    for item in value:
        kind, numbers, access = item.split(" ")
        major, minor = numbers.split(":")
        rule: dict[str, Any] = {"allow": True, "access": access}
        rule |= {key: int(text) for key, text in (("major", major), ("minor", minor)) if text != "*"}
        # "a" alone is every device there is: with numbers or less access it is meant for both kinds
        kinds = ("c", "b") if kind == "a" and (major, minor, set(access)) != ("*", "*", set("rwm")) else (kind,)
        spec["linux"]["resources"]["devices"] += [rule | {"type": one} for one in kinds]


def _no_device(source: str, reason: str, number: int | None) -> WardianError:
    """Docker's clients read their exit code from the words."""
    message = f'error gathering device information while adding custom device "{source}": {reason}'
    return WardianError(INVALID, message, operation="create", subject=source, errno=number or 0)
