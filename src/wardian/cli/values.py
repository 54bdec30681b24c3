"""Readers of flag values that are more than a word: sizes, durations, processors, limits, devices, names, addresses.

Each takes the text that was typed and answers what the API's body holds, or raises ValueError with the words that
docker's CLI has for it. Mounts, networks and GPU requests, which are lists of `key=value` fields, are in `fields`.
"""

from __future__ import annotations

import os

from wardian.cli.filters import read_filter
from wardian.cli.pflag import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MULTIPLIERS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_NANO = 1_000_000_000
_DURATION_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": _NANO, "m": 60 * _NANO, "h": 3600 * _NANO,
}  # fmt: skip
_ULIMITS = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)


def read_bytes(text: str) -> int:
    """A size with a binary unit: 64m, 1.5g, 512, 1GiB (go-units RAMInBytes)."""
    last = max((i for i, c in enumerate(text) if c in "0123456789. "), default=-1)
    if last < 0:
        raise ValueError(f"invalid size: '{text}'")
    number, suffix = text[: last + 1], text[last + 1 :].lower()
    if number.endswith(" "):
        number = number[:-1]
    try:
        if number != number.strip() or "_" in number:
            raise ValueError
        size = float(number)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {go_quote(number)}: invalid syntax") from None
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    if not suffix or suffix == "b":
        return int(size)
    if suffix[0] not in _MULTIPLIERS or suffix[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(size * _MULTIPLIERS[suffix[0]])


def read_swap_bytes(text: str) -> int:
    return -1 if text == "-1" else read_bytes(text)


def read_nano_cpus(text: str) -> int:
    """Processors as a decimal (or a fraction) → billionths."""
    try:
        if "/" in text:
            over, under = text.split("/")
            top, bottom = int(over), int(under)
        else:
            digits, _, exponent = text.lower().partition("e")
            whole, _, part = digits.partition(".")
            if not (whole.lstrip("+-") + part).isdigit() or whole.count("-") + whole.count("+") > 1:
                raise ValueError
            top, power = int((whole or "0") + part), int(exponent or "0") - len(part)
            top, bottom = (top * 10**power, 1) if power >= 0 else (top, 10**-power)
        whole_nanos, left = divmod(top * _NANO, bottom)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if left:
        raise ValueError("value is too precise")
    return whole_nanos


def read_duration(text: str) -> int:
    """Go's ParseDuration → nanoseconds: 1m30s, 250ms, 1.5h, 0."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"time: invalid duration {go_quote(text)}")
    total = 0
    while rest:
        digits = _leading(rest, "0123456789.")
        rest = rest[len(digits) :]
        if not digits.strip(".") or digits.count(".") > 1:
            raise ValueError(f"time: invalid duration {go_quote(text)}")
        at = next((i for i, c in enumerate(rest) if c in "0123456789."), len(rest))
        unit, rest = rest[:at], rest[at:]
        if not unit:
            raise ValueError(f"time: missing unit in duration {go_quote(text)}")
        if unit not in _DURATION_UNITS:
            raise ValueError(f"time: unknown unit {go_quote(unit)} in duration {go_quote(text)}")
        whole, _, part = digits.partition(".")
        total += int(whole or "0") * _DURATION_UNITS[unit]
        total += int(part or "0") * _DURATION_UNITS[unit] // 10 ** len(part)
    return -total if text[0] == "-" else total


def _leading(text: str, allowed: str) -> str:
    return text[: next((i for i, c in enumerate(text) if c not in allowed), len(text))]


def read_attach(text: str) -> str:
    stream = text.lower()
    if stream not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return stream


def read_environment(text: str) -> str:
    """NAME=VALUE; a bare NAME takes the value from this process's environment, where it has one."""
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if equals or name not in os.environ:
        return text
    return f"{name}={os.environ[name]}"


def read_label(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text.partition("%")[0])
            return True
        except OSError:
            pass
    return False


def read_dns(text: str) -> str:
    if not is_address(text.strip()):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return text.strip()


def read_dns_search(text: str) -> str:
    domain = text.strip()
    if domain == ".":
        return domain
    labels = domain.removesuffix(".").split(".")
    right = all(0 < len(label) <= 63 and label.isascii() and label.replace("-", "").isalnum() for label in labels)
    if not right or len(domain) > 255:
        raise ValueError(f"{domain} is not a valid domain")
    return domain


def read_extra_host(text: str) -> str:
    """--add-host name:ip, name=ip or name:[ip6] → `name:ip`."""
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not found or not name:
        raise ValueError(f"bad format for add-host: {go_quote(text)}")
    if len(address) > 2 and address[0] == "[" and address[-1] == "]":
        address = address[1:-1]
    if address != "host-gateway" and not is_address(address):
        raise ValueError(f"invalid IP address in add-host: {go_quote(address)}")
    return f"{name}:{address}"


def read_link(text: str) -> str:
    parts = text.split(":")
    if not text or len(parts) > 2:
        raise ValueError(f"bad format for links: {text}" if text else "empty string specified for links")
    return text


def _is_device_mode(mode: str) -> bool:
    return bool(mode) and len(set(mode)) == len(mode) and not set(mode) - set("rwm")


def read_device(text: str) -> str:
    """HOST[:CONTAINER[:MODE]], or the name of a CDI device (vendor/class=name)."""
    parts = text.split(":")
    if not text or len(parts) > 3:
        raise ValueError(f"bad format for path: {text}")
    if len(parts) == 3 and not _is_device_mode(parts[2]):
        raise ValueError(f"bad mode specified: {parts[2]}")
    inside = parts[1] if len(parts) > 1 and not _is_device_mode(parts[1]) else parts[0]
    if not inside.startswith("/") and "=" not in text:
        raise ValueError(f"{inside} is not an absolute path")
    return text


def read_device_rule(text: str) -> str:
    """A rule of the cgroup's device list: `c 1:* rwm`."""
    words = text.split(" ")
    if len(words) == 3:
        major, colon, minor = words[1].partition(":")
        numbers = all(number == "*" or (number.isascii() and number.isdigit()) for number in (major, minor))
        if words[0] in ("a", "b", "c") and colon and numbers and _is_device_mode(words[2]):
            return text
    raise ValueError(f"invalid device cgroup format '{text}'")


def read_ulimit(text: str) -> dict[str, Any]:
    """name=soft[:hard] (go-units ParseUlimit)."""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    numbers = [_ulimit_number(part) for part in parts]
    soft, hard = numbers[0], numbers[-1]
    if hard != -1 and (soft > hard or soft == -1):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def _ulimit_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"strconv.ParseInt: parsing {go_quote(text)}: invalid syntax") from None


def read_device_weight(text: str) -> dict[str, Any]:
    path, colon, weight = text.partition(":")
    if not colon:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    if not weight.isdigit() or not (int(weight) == 0 or 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def read_device_bytes(text: str) -> dict[str, Any]:
    form = "<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
    return _device_rate(text, read_bytes, form)


def read_device_operations(text: str) -> dict[str, Any]:
    return _device_rate(text, _whole_rate, "<number>. Number must be a positive integer")


def _whole_rate(text: str) -> int:
    if not text.isdigit():
        raise ValueError
    return int(text)


def _device_rate(text: str, read: Callable[[str], int], form: str) -> dict[str, Any]:
    path, colon, rate = text.partition(":")
    if not colon:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    try:
        return {"Path": path, "Rate": read(rate)}
    except ValueError:
        raise ValueError(f"invalid rate for device: {text}. The correct format is <device-path>:{form}") from None


_SYSCTLS = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


def read_sysctl(text: str) -> str:
    """name=value of a kernel parameter that belongs to a namespace."""
    name, equals, _ = text.partition("=")
    if not equals or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


def read_strings(text: str) -> list[str]:
    """A list in one value: a,b."""
    return text.split(",") if text else []


def _mount(text: str) -> dict[str, Any]:
    from wardian.cli.fields import read_mount

    return read_mount(text)


def _gpus(text: str) -> dict[str, Any]:
    from wardian.cli.fields import read_gpus

    return read_gpus(text)


READERS: dict[str, Callable[[str], Any]] = {
    "add-host": read_extra_host,
    "attach": read_attach,
    "blkio-weight-device": read_device_weight,
    "bytes": read_bytes,
    "decimal": read_nano_cpus,
    "device-cgroup-rule": read_device_rule,
    "dns": read_dns,
    "dns-search": read_dns_search,
    "duration": read_duration,
    "env": read_environment,
    "filter": read_filter,
    "gpu-request": _gpus,
    "label": read_label,
    "link": read_link,
    "mount": _mount,
    "strings": read_strings,
    "swap-bytes": read_swap_bytes,
    "sysctl": read_sysctl,
    "throttle-bps": read_device_bytes,
    "throttle-iops": read_device_operations,
    "ulimit": read_ulimit,
}
