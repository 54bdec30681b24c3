"""What a value in a create body may be: one function for each type of option. Each names the option when it refuses.

A check takes the decoded JSON value and the option's API path, and returns the value in the one form that the rest of
the engine sees. Raises WardianError(INVALID).
"""

import os
import re
from collections.abc import Callable
from typing import Any

import msgspec

from wardian.engine.life.signals import signal_number
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.runtime import group_path

Check = Callable[[Any, str], Any]


def _words(text: str) -> list[str]:
    return text.split()


_MOST_CPUS = 1 << 16  # more than any kernel is built for: a range is counted out
_ULIMITS = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_UMASK = re.compile(r"0?[0-7]{1,3}")
_TIMEZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WHOLE = re.compile(r"[+-]?[0-9]+")


def shown(value: object) -> str:
    """A value in a message: as its JSON, and no words of Python's; a string as Docker quotes it."""
    return repr(value) if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


def invalid(path: str, value: object, why: str) -> WardianError:
    return WardianError(INVALID, f"invalid {path} {shown(value)}: {why}", operation="create", subject=path)


def not_built(path: str, what: str) -> WardianError:
    return WardianError(NOT_IMPLEMENTED, f"{path}: {what} is not built yet", operation="create", subject=path)


def text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise invalid(path, value, "must be a string")
    if "\0" in value:
        raise invalid(path, value, "holds a NUL byte")
    return value


def flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(path, value, "must be true or false")
    return value


def integer(low: int, high: int = (1 << 63) - 1) -> Check:
    def check(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(path, value, "must be a whole number")
        if not low <= value <= high:
            raise invalid(path, value, f"must be from {low} to {high}")
        return value

    return check


def unlimited_below(low: int) -> Check:
    """A whole number, for which Docker takes any below `low` and means by it what `low` says: no limit."""
    whole = integer(-(1 << 63))

    def check(value: Any, path: str) -> int:
        return max(low, int(whole(value, path)))

    return check


def strings(value: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        raise invalid(path, value, "must be a list of strings")
    return [text(item, path) for item in value]


def command(value: Any, path: str) -> list[str]:
    """Old clients send one string."""
    return [text(value, path)] if isinstance(value, str) else strings(value, path)


def mapping(value: Any, path: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise invalid(path, value, "must be an object of strings")
    return {text(key, path): text(item, path) for key, item in value.items()}


def annotations(value: Any, path: str) -> dict[str, str]:
    if "" in mapping(value, path):
        message = "invalid Annotations: the empty string is not permitted as an annotation key"
        raise WardianError(INVALID, message, operation="create", subject=path)
    return dict(value)


def json_object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(path, value, "must be an object")
    return dict(value)


def json_list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(path, value, "must be a list")
    return list(value)


def environment(value: Any, path: str) -> list[str]:
    for item in strings(value, path):
        if not item or item.startswith("="):
            raise WardianError(INVALID, f"invalid environment variable: {item}", operation="create", subject=path)
    return list(value)


def absolute(value: Any, path: str) -> str:
    if text(value, path) and not os.path.isabs(value):
        message = f"the working directory '{value}' is invalid, it needs to be an absolute path"
        raise WardianError(INVALID, message, operation="create", subject=path)
    return str(value)


def rootfs(value: Any, path: str) -> str:
    """A directory in an image's place, as Podman takes it: DIR, or DIR:O for an overlay over it."""
    directory, _, options = text(value, path).partition(":")
    if options not in ("", "O"):
        raise not_built(path, f"--rootfs option {options!r} (O is)")
    if not os.path.isabs(directory):
        raise invalid(path, value, "must be an absolute path")
    return f"{os.path.normpath(directory)}{':O' if options else ''}"


def hostname(value: Any, path: str) -> str:
    """Whatever the kernel takes, as docker: 64 bytes (uname(2)). A line break would be another line of /etc/hosts."""
    if len(os.fsencode(text(value, path))) > 64 or _CONTROL.search(value):
        raise invalid(path, value, "at most 64 bytes, none of them a control character")
    return str(value)


def group_parent(value: Any, path: str) -> str:
    """The group in which the container's is made, as `linux.cgroupsPath` has it. Raises WardianError."""
    return group_path(text(value, path))


def umask(value: Any, path: str) -> str:
    """umask(2), in octal."""
    if not _UMASK.fullmatch(text(value, path)):
        raise invalid(path, value, "must be an octal number up to 0777")
    return str(value)


def timezone(value: Any, path: str) -> str:
    """`local`, or a name below /usr/share/zoneinfo (tzfile(5))."""
    if not _TIMEZONE.fullmatch(text(value, path)):
        raise invalid(path, value, "must be local or the name of a time zone such as Europe/Berlin")
    return str(value)


def signal(value: Any, path: str) -> str:
    """Docker takes any number but 0; a stop by one that the kernel does not have is a SIGKILL (stop_signal)."""
    if text(value, path) and not (_WHOLE.fullmatch(value) and int(value)):
        signal_number(value, path)
    return str(value)


def size_bytes(value: str, path: str) -> int:
    """Docker's spelling of sizes: 10m, 1.5g, 4096, 64kb."""
    found = _SIZE.fullmatch(value.strip())
    if not found:
        raise invalid(path, value, "not a size such as 10m")
    return int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " "))


def cpu_list(value: Any, path: str) -> str:
    """cpuset(7), list format: 0-3,7."""
    what = {"CpusetCpus": "cpuset cpus", "CpusetMems": "cpuset mems"}[path.rpartition(".")[2]]
    for part in text(value, path).split(",") if value else ():
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not (high.isdecimal() and int(low) <= int(high) <= _MOST_CPUS)):
            message = f"Invalid value {value} for {what}: invalid format: {value}"
            raise WardianError(INVALID, message, operation="create", subject=path)
    return str(value)


def listed_numbers(text: str) -> set[int]:
    """The numbers of a list in cpuset(7)'s format."""
    ranges = (part.partition("-") for part in text.split(",") if part)
    return {number for low, _, high in ranges for number in range(int(low), int(high or low) + 1)}


def capabilities(value: Any, path: str) -> list[str]:
    return [item.upper() if item.upper() in ("ALL",) else _capability(item) for item in command(value, path)]


def _capability(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def one_of(*values: str) -> Check:
    def check(value: Any, path: str) -> str:
        if text(value, path) not in values:
            raise invalid(path, value, f"must be one of {', '.join(repr(item) for item in values)}")
        return str(value)

    return check


def namespace_mode(*words: str) -> Check:
    """host, private, or container:NAME, as far as `words` allow."""

    def check(value: Any, path: str) -> str:
        kind, colon, target = text(value, path).partition(":")
        joins = kind == "container" and colon and "container:" in words
        if target if joins else value in words:
            return str(value)
        raise invalid(path, value, f"must be one of {', '.join(repr(word) for word in words)}")

    return check


def network_mode(value: Any, path: str) -> str:
    """Any name may be a network's, but this one."""
    kind, _, target = text(value, path).partition(":")
    if kind == "container" and not target:
        message = "invalid network mode: invalid container format container:<name|id>"
        raise WardianError(INVALID, message, operation="create", subject=path)
    return str(value)


def pid_mode(value: Any, path: str) -> str:
    try:
        return str(namespace_mode("host", "container:")(value, path))
    except WardianError:
        raise WardianError(INVALID, f"invalid PID mode: {value}", operation="create", subject=path) from None


def userns_mode(value: Any, path: str) -> str:
    """Docker's "" and host, and Podman's."""
    mode, colon, _ = text(value, path).partition(":")
    if mode not in ("", "host", "private", "auto", "keep-id") or (colon and mode not in ("auto", "keep-id")):
        raise WardianError(INVALID, f'invalid user namespace mode: "{value}"', operation="create", subject=path)
    if colon and mode == "keep-id":
        raise not_built(path, f"--userns {value}: an option of keep-id")
    return str(value)


def ipc_mode(value: Any, path: str) -> str:
    try:
        return str(namespace_mode("host", "private", "none", "shareable", "container:")(value, path))
    except WardianError:
        raise WardianError(INVALID, f"invalid IPC mode: {value}", operation="create", subject=path) from None


def oom_score(value: Any, path: str) -> int:
    """proc(5), oom_score_adj."""
    if not -1000 <= integer(-(1 << 63))(value, path) <= 1000:
        message = f"Invalid value {value}, range for oom score adj is [-1000, 1000]"
        raise WardianError(INVALID, message, operation="create", subject=path)
    return int(value)


def ulimits(value: Any, path: str) -> list[dict[str, Any]]:
    """getrlimit(2) names in lower case without RLIMIT_."""
    known = _words(_ULIMITS)
    limit = integer(-1)
    for item in json_list(value, path):
        name = (item.get("Name") or "") if isinstance(item, dict) else ""
        if name not in known:
            raise WardianError(INVALID, f"invalid ulimit type: {name}", operation="create", subject=path)
        soft, hard = limit(item.get("Soft") or 0, path), limit(item.get("Hard") or 0, path)
        if hard != -1 and (soft == -1 or soft > hard):
            message = f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            raise WardianError(INVALID, message, operation="create", subject=path)
    return [{"Name": item["Name"], "Hard": 0, "Soft": 0, **item} for item in value]


def devices(value: Any, path: str) -> list[dict[str, Any]]:
    names, found = ("PathOnHost", "PathInContainer", "CgroupPermissions"), []
    for item in json_list(value, path):
        if not isinstance(item, dict) or not str(item.get("PathOnHost", "")).startswith("/"):
            raise invalid(path, item, "needs an absolute PathOnHost")
        found.append({name: text(item.get(name) or "", f"{path}.{name}") for name in names})
        if set(item.get("CgroupPermissions") or "rwm") - set("rwm"):
            raise invalid(path, item["CgroupPermissions"], "must be made of r, w and m")
    return found


def extra_hosts(value: Any, path: str) -> list[str]:
    for item in strings(value, path):
        name, colon, address = item.partition(":")
        if not name or not colon or not address:
            raise WardianError(INVALID, f'bad format for add-host: "{item}"', operation="create", subject=path)
    return list(value)


_IPC_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
)  # fmt: skip


def is_ipc_sysctl(name: str) -> bool:
    """Of those that the kernel keeps in an ipc namespace (ipc_namespaces(7))."""
    return name in _IPC_SYSCTLS or name.startswith("fs.mqueue.")


def sysctls(value: Any, path: str) -> dict[str, str]:
    """Those that a container's own namespaces keep; of the others, docker's CLI says so in these words."""
    for name, setting in mapping(value, path).items():
        if not (is_ipc_sysctl(name) or name.startswith("net.")) or ".." in name:
            message = f"sysctl '{name}={setting}' is not allowed"
            raise WardianError(INVALID, message, operation="create", subject=path)
    return dict(value)


def security_options(value: Any, path: str) -> list[str]:
    for item in strings(value, path):
        key, _, setting = item.replace(":", "=", 1).partition("=") if "=" not in item else item.partition("=")
        if key == "no-new-privileges" and setting in ("", "true", "false"):
            continue
        if key == "seccomp" and setting:
            continue
        if key == "systempaths" and setting == "unconfined":
            continue
        if key in ("apparmor", "label") and setting in ("unconfined", "disable"):
            continue
        if key in ("apparmor", "label", "writable-cgroups"):
            raise not_built(path, f"{item!r}")
        raise WardianError(INVALID, f'invalid --security-opt 2: "{item}"', operation="create", subject=path)
    return list(value)


def size_pair(value: Any, path: str) -> list[int]:
    """A terminal's height and width."""
    if not isinstance(value, list) or len(value) != 2:
        raise invalid(path, value, "must be [height, width]")
    number = integer(0, 65535)
    return [number(value[0], path), number(value[1], path)]


def only(*accepted: Any) -> Check:
    """An option that is not built: `accepted` are the values that mean "not set" (docker's CLI sends some)."""

    def check(value: Any, path: str) -> Any:
        if value in accepted:
            return None
        name = path.rpartition(".")[2]
        raise not_built(path, f"{name} = {shown(value)}")

    return check
