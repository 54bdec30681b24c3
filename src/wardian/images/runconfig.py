"""The `config` object of an image config (OCI image-spec, config.md): checked once when it comes, relied upon later.

It is data of a stranger, and it is read on every create, list and inspect: what has the wrong shape is refused here, by
name, as Docker does when it decodes it.
"""

from collections.abc import Callable, Mapping
from typing import Any


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_command(value: object) -> bool:
    """A list of strings, or one string as Docker wrote it before 2014."""
    return isinstance(value, str) or _is_strings(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_labels(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _is_set(value: object) -> bool:
    """Names with empty objects (a set in Go's JSON)."""
    return isinstance(value, dict) and all(one is None or isinstance(one, dict) for one in value.values())


def _is_health_check(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    test = value.get("Test")
    times = (value.get(name) or 0 for name in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"))
    return (test is None or _is_strings(test)) and all(isinstance(one, int) for one in times)


_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "ArgsEscaped": (_is_flag, "true or false"),
    "Cmd": (_is_command, "a list of strings"),
    "Entrypoint": (_is_command, "a list of strings"),
    "Env": (_is_strings, "a list of strings"),
    "ExposedPorts": (_is_set, "an object of objects"),
    "Healthcheck": (_is_health_check, "a health check"),
    "Labels": (_is_labels, "an object of strings"),
    "OnBuild": (_is_strings, "a list of strings"),
    "Shell": (_is_command, "a list of strings"),
    "StopSignal": (_is_text, "a string"),
    "User": (_is_text, "a string"),
    "Volumes": (_is_set, "an object of objects"),
    "WorkingDir": (_is_text, "a string"),
}


def fault(config: Mapping[str, Any]) -> str:
    """What is wrong with a run configuration; empty when it can be used. A null field is one that is not there."""
    for name, (fits, wanted) in _FIELDS.items():
        value = config.get(name)
        if value is not None and not fits(value):
            return f"{name} of its run configuration is not {wanted}"
    return ""


def normal(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same with commands as lists only."""
    lists = {name: [config[name]] for name in ("Cmd", "Entrypoint", "Shell") if isinstance(config.get(name), str)}
    return {**config, **lists}
