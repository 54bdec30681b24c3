"""Checks of limits that name devices, and of those that Linux or our storage has not: refused in Docker's words."""

import re
from typing import Any

from wardian.engine.options.checks import integer, invalid, json_list, strings, text
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError

_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")


def weight_devices(value: Any, path: str) -> list[dict[str, Any]]:
    return _rows(value, path, "Weight", 10, 1000)


def throttle_devices(value: Any, path: str) -> list[dict[str, Any]]:
    return _rows(value, path, "Rate", 0, (1 << 63) - 1)


def _rows(value: Any, path: str, key: str, low: int, high: int) -> list[dict[str, Any]]:
    for item in json_list(value, path):
        if not isinstance(item, dict) or not text(item.get("Path") or "", f"{path}.Path").startswith("/"):
            raise invalid(path, item, "needs an absolute Path")
        integer(low, high)(item.get(key) or 0, f"{path}.{key}")
    return [{key: 0, **item} for item in value]


def device_rules(value: Any, path: str) -> list[str]:
    for item in strings(value, path):
        if not _RULE.fullmatch(item):
            message = f"invalid device cgroup rule format: '{item}'"
            raise WardianError(INVALID, message, operation="create", subject=path)
    return list(value)


def swappiness(value: Any, path: str) -> int:
    if isinstance(value, int) and not 0 <= value <= 100:
        message = f"Invalid value: {value}, valid memory swappiness range is 0-100"
        raise WardianError(INVALID, message, operation="create", subject=path)
    found: int = integer(0, 100)(value, path)
    return found


def storage_options(value: Any, path: str) -> None:
    """Docker's words. A quota of a writable layer is the file system's, and none that is a quota of ours is built."""
    for name in value if isinstance(value, dict) else ():
        if name != "size":
            raise WardianError(INVALID, f"Unknown option {name}", operation="create", subject=path)
    message = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
    raise WardianError(NOT_IMPLEMENTED, message, operation="create", subject=path)


def isolation(value: Any, path: str) -> str:
    if text(value, path) not in ("", "default"):
        message = f"invalid isolation ({value}): linux only supports 'default'"
        raise WardianError(INVALID, message, operation="create", subject=path)
    return str(value)


def io_maximum(value: Any, path: str) -> int:
    message = "Invalid QoS settings: Linux does not support Maximum IO Bandwidth or Maximum IO IOps"
    raise WardianError(INVALID, message, operation="create", subject=path)
