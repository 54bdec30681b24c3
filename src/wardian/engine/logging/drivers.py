"""Log drivers: the names of --log-driver, the options of each with their checks, and what they mean for the file.

    json-file              the file as it is, 10 MB in each of 3 unless told otherwise
    local                  the same file, of another size: 20 MB in each of 5, and only this engine knows where it is
    none                   no file
    journald, syslog, fluentd
                           the file is what is sent from, and what `docker logs` reads (Docker's dual logging)

All that can be wrong with options is found when a container is created, in Docker's words.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from wardian.engine.logging.attributes import check_tag
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.patterns import finder

if TYPE_CHECKING:
    from wardian.home import Home

Check = Callable[[str, str], object]

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "", "", "", "",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
SYSLOG_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")


def log_path(directory: str, identity: str) -> str:
    return os.path.join(directory, f"{identity}-json.log")


# --- values ---


def _invalid(message: str, key: str) -> WardianError:
    return WardianError(INVALID, message, operation="create", subject=f"HostConfig.LogConfig.{key}")


def read_size(value: str, key: str = "") -> int:
    """Docker's spelling, in thousands of 1000: 10m, 1.5g, 4096."""
    found = _SIZE.fullmatch(value.strip())
    if not found:
        raise _invalid(f"invalid size: '{value}'", key)
    return int(float(found[1]) * 1000 ** " kmgtp".index(found[2].lower() or " "))


def read_flag(value: str, key: str = "") -> bool:
    if value not in _TRUE + _FALSE:
        raise _invalid(f'strconv.ParseBool: parsing "{value}": invalid syntax', key)
    return value in _TRUE


def read_number(value: str, key: str = "", function: str = "ParseUint") -> int:
    if not (value.isascii() and value.isdigit()):
        raise _invalid(f'strconv.{function}: parsing "{value}": invalid syntax', key)
    return int(value)


def read_duration(value: str, key: str = "") -> float:
    """Go's: 1s, 1m30s. Seconds."""
    parts = _DURATION.findall(value)
    if value == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != value:
        lacks = "missing unit in" if re.fullmatch(r"\d+", value) else "invalid"
        raise _invalid(f'time: {lacks} duration "{value}"', key)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _max_size(value: str, key: str) -> None:
    if read_size(value, key) < 1:
        raise _invalid("max-size must be a positive number", key)


def _cache_size(value: str, key: str) -> None:
    if value != "-1":
        _max_size(value, key)


def _max_file(value: str, key: str) -> None:
    if read_number(value, key, "Atoi") < 1:
        raise _invalid("max-file cannot be less than 1", key)


def _not_built(what: str, key: str) -> WardianError:
    return WardianError(NOT_IMPLEMENTED, f"{what} is not built yet in Wardian", operation="create", subject=key)


def _compress(value: str, key: str) -> None:
    if read_flag(value, key):
        raise _not_built(f"{key}=true", key)


def _asynchronous(value: str, key: str) -> None:
    """Without it Docker's start fails when nobody listens."""
    if not read_flag(value, key):
        raise _not_built(f"{key}=false", key)


def _gives_up(check: Check) -> Check:
    """Here nothing is given up: lines wait in the file, as long as that is kept."""

    def checked(value: str, key: str) -> None:
        check(value, key)
        raise _not_built(f"{key}={value}", key)

    return checked


def _mode(value: str, key: str) -> None:
    if value not in ("", "blocking", "non-blocking"):
        raise _invalid(f"logger: logging mode not supported: {value}", key)


def _buffer_size(value: str, key: str) -> None:
    try:
        read_size(value, key)
    except WardianError as error:
        raise _invalid(f"error parsing option max-buffer-size: {error.message}", key) from None


def _pattern(value: str, key: str) -> None:
    try:
        finder(value)
    except ValueError as error:
        raise _invalid(f"error parsing regexp: {error}: `{value}`", key) from None


def _cache_flag(value: str, key: str) -> None:
    if value not in _TRUE + _FALSE:
        raise _invalid(f"invalid value for option {key}: {value}", key)


def _anything(value: str, key: str) -> None:
    """Names, of which those that are not there are passed over."""


def _syslog_address(value: str, key: str) -> None:
    try:
        scheme, port = urlsplit(value).scheme, urlsplit(value).port
    except ValueError:
        raise _invalid(f"invalid {key}: {value}", key) from None
    if value and scheme not in ("unix", "unixgram", "udp", "tcp", "tcp+tls"):
        raise _invalid(f"unsupported scheme: '{scheme}'", key)
    path = urlsplit(value).path
    if scheme in ("unix", "unixgram") and not os.path.exists(path):
        raise _invalid(f"stat {path}: no such file or directory", key)
    if port == 0:
        raise _invalid(f"invalid {key}: {value}", key)


def _facility(value: str, key: str) -> None:
    if value and value not in FACILITIES and not (value.isdigit() and int(value) <= 23):
        raise _invalid("invalid syslog facility", key)


def _syslog_format(value: str, key: str) -> None:
    if value not in SYSLOG_FORMATS:
        raise _invalid("Invalid syslog format", key)


def _file(value: str, key: str) -> None:
    if not os.path.isfile(value):
        raise _invalid(f"{key}: open {value}: no such file or directory", key)


def _fluentd_address(value: str, key: str) -> None:
    text = value if "://" in value else f"tcp://{value}"
    scheme, _, rest = text.partition("://")
    if scheme not in ("tcp", "tls", "unix"):
        raise _invalid(f"invalid {key} ({value}): unsupported scheme: '{scheme}'", key)
    if scheme == "unix":
        if not rest.strip("/"):
            raise _invalid(f"invalid {key} ({value}): path is empty", key)
        return
    try:
        port, path = urlsplit(text).port, urlsplit(text).path
    except ValueError:
        bad = text.rpartition(":")[2]
        message = f'invalid {key} ({value}): parse "{text}": invalid port ":{bad}" after host'
        raise _invalid(message, key) from None
    if path:
        raise _invalid(f"invalid {key} ({value}): should not contain a path element", key)
    if port == 0:
        raise _invalid(f"invalid {key} ({value}): the port is 0", key)


def _worded(check: Check, words: str) -> Check:
    def checked(value: str, key: str) -> None:
        try:
            check(value, key)
        except WardianError as error:
            raise _invalid(words.format(key=key, error=error.message), key) from None

    return checked


def _interval(value: str, key: str) -> None:
    if value and value != "0" and not 0.1 <= read_duration(value, key) <= 10:
        raise _invalid(f"invalid value for {key}: value ({value}) must be between 100ms and 10s", key)


# --- the table ---

_MODE: dict[str, Check] = {"mode": _mode, "max-buffer-size": _buffer_size}
_NAMES: dict[str, Check] = {
    "labels": _anything, "labels-regex": _pattern, "env": _anything, "env-regex": _pattern,
    "tag": lambda value, key: check_tag(value),
}  # fmt: skip
_CACHE: dict[str, Check] = {
    "cache-disabled": _cache_flag, "cache-max-size": _cache_size, "cache-max-file": _max_file,
    "cache-compress": _compress,
}  # fmt: skip
_ROTATION: dict[str, Check] = {"max-size": _max_size, "max-file": _max_file, "compress": _compress}
_DURATION_WORDS = "invalid value for {key}: {error}"


class Driver(NamedTuple):
    """`unknown`: Docker's words for an option that it has not. Sizes are of the file: bytes, and how many."""

    options: Mapping[str, Check]
    unknown: str = "unknown log opt '{key}' for {kind} log driver"
    size: str = "20m"
    files: str = "5"
    follows: bool = False


DRIVERS: Mapping[str, Driver] = {
    "json-file": Driver({**_ROTATION, **_MODE, **_NAMES}, size="10m", files="3"),
    "local": Driver({**_ROTATION, **_MODE}, "unknown log opt '{key}' for log driver {kind}"),
    "none": Driver({}),
    "journald": Driver({**_MODE, **_NAMES, **_CACHE}, follows=True),
    "syslog": Driver(
        {
            "syslog-address": _syslog_address,
            "syslog-facility": _facility,
            "syslog-format": _syslog_format,
            "syslog-tls-ca-cert": _file,
            "syslog-tls-cert": _file,
            "syslog-tls-key": _file,
            "syslog-tls-skip-verify": _anything,  # Docker: set to whatever, it is on
            **_MODE,
            **_NAMES,
            **_CACHE,
        },
        follows=True,
    ),
    "fluentd": Driver(
        {
            "fluentd-address": _fluentd_address,
            "fluentd-async": _asynchronous,
            "fluentd-async-reconnect-interval": _worded(_interval, _DURATION_WORDS),
            "fluentd-buffer-limit": _gives_up(read_size),
            "fluentd-max-retries": _gives_up(read_number),
            "fluentd-request-ack": read_flag,
            "fluentd-retry-wait": read_duration,
            "fluentd-sub-second-precision": read_flag,
            "fluentd-write-timeout": _worded(
                read_duration, "invalid value for {key}: value must be a duration: {error}"
            ),
            **_MODE,
            **_NAMES,
            **_CACHE,
        },
        follows=True,
    ),
}
NAMES = sorted(DRIVERS)


def check_log_config(value: Any, path: str) -> dict[str, Any]:
    """A body's LogConfig. Its Type "" is the engine's default, and its options are looked at when that is known."""
    if not isinstance(value, dict) or not isinstance(value.get("Config") or {}, dict):
        raise WardianError(INVALID, f"{path} must be an object", operation="create", subject=path)
    options = value.get("Config") or {}
    if not all(isinstance(item, str) for item in options.values()):
        raise WardianError(INVALID, f"{path}.Config must be an object of texts", operation="create", subject=path)
    kind = str(value.get("Type") or "")
    if kind:
        _check(kind, options)
    return {"Type": kind, "Config": dict(options)}


def settle_log_config(home: "Home", asked: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a container's log is: as it asked, and where it left that open, as the engine is told."""
    asked = asked or {"Type": "", "Config": {}}
    kind = asked["Type"] or home.log_driver
    defaults = dict(home.log_options) if kind == home.log_driver else {}
    options = {**defaults, **asked["Config"]}
    _check(kind, options)
    return {"Type": kind, "Config": options}


def _check(kind: str, options: Mapping[str, str]) -> None:
    driver = DRIVERS.get(kind)
    if driver is None:
        raise _invalid(f"logger: no log driver named '{kind}' is registered", "Type")
    for key in options:
        if key not in driver.options:
            raise _invalid(driver.unknown.format(key=key, kind=kind), key)
    if "max-buffer-size" in options and options.get("mode") != "non-blocking":
        raise _invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'", "max-buffer-size")
    for key, value in options.items():
        driver.options[key](value, key)
    if bool(options.get("syslog-tls-cert")) != bool(options.get("syslog-tls-key")):
        raise _invalid("syslog-tls-cert and syslog-tls-key go together", "syslog-tls-cert")


# --- what they mean ---


def has_file(config: Mapping[str, Any]) -> bool:
    return bool(config["Type"] != "none")


def is_readable(config: Mapping[str, Any]) -> bool:
    return has_file(config) and config["Config"].get("cache-disabled", "false") not in _TRUE


def follows(config: Mapping[str, Any]) -> bool:
    """Its lines go somewhere else."""
    return DRIVERS[config["Type"]].follows


def shown_path(config: Mapping[str, Any], directory: str, identity: str) -> str:
    """`LogPath` of inspect: Docker names the file of json-file only."""
    return log_path(directory, identity) if config["Type"] == "json-file" else ""


def rotation(config: Mapping[str, Any]) -> tuple[int, int]:
    """(bytes of a file, 0 for no limit; how many files). Who gives a size alone has one file, as with Docker."""
    driver, options = DRIVERS[config["Type"]], config["Config"]
    prefix = "cache-" if driver.follows else ""
    size = options.get(f"{prefix}max-size")
    files = options.get(f"{prefix}max-file") or (driver.files if size is None or config["Type"] != "json-file" else "1")
    size = driver.size if size is None else size
    return (0 if size == "-1" else max(1, math.floor(read_size(size)))), int(files)
