"""HEALTHCHECK of a Dockerfile: its flags, and a command or NONE, as the `Healthcheck` of a run configuration."""

from collections.abc import Callable
from typing import Any

from wardian.errors import INVALID, WardianError
from wardian.moments import duration_nanoseconds

_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_LEAST = 1_000_000  # a millisecond


def read_health_check(text: str, json_strings: Callable[[str], list[str] | None]) -> dict[str, Any]:
    """`[--interval=…] … CMD command`, or NONE. Raises INVALID in Docker's words. `json_strings` reads an exec form."""
    found: dict[str, Any] = {}
    while text.startswith("--"):
        flag, text = first_word(text)
        _set(found, flag, text)
    kind, command = first_word(text)
    if not kind:
        raise _invalid("HEALTHCHECK requires at least one argument", text)
    if kind.upper() == "NONE":
        if command:
            raise _invalid("HEALTHCHECK NONE takes no arguments", text)
        return {"Test": ["NONE"]}
    if kind.upper() != "CMD":
        raise _invalid(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)', text)
    words = json_strings(command)
    if not command or words == []:
        raise _invalid("Missing command after HEALTHCHECK CMD", text)
    return {"Test": ["CMD-SHELL", command] if words is None else ["CMD", *words], **found}


def first_word(text: str) -> tuple[str, str]:
    """An instruction's word, and what follows it: white space of any kind lies between, as in a Dockerfile."""
    word, *rest = text.split(None, 1) or [""]
    return word, rest[0].rstrip() if rest else ""


def _set(found: dict[str, Any], flag: str, rest: str) -> None:
    name, equals, value = flag.removeprefix("--").partition("=")
    if name not in _TIMES and name != "retries":
        raise _invalid(f"unknown flag: --{name}", rest)
    if not equals:
        raise _invalid(f"missing a value on flag: --{name}", rest)
    field, number = (_TIMES[name], _time(name, value)) if name in _TIMES else ("Retries", _retries(value))
    if number:
        found[field] = number


def _time(name: str, value: str) -> int:
    number = duration_nanoseconds(value)
    if number is None:
        raise _invalid(f'time: invalid duration "{value}"', value)
    if number and number < _LEAST:
        raise _invalid(f'Interval "{name}" cannot be less than 1ms', value)
    return number


def _retries(value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise _invalid(f'strconv.ParseInt: parsing "{value}": invalid syntax', value) from None
    if number < 0:
        raise _invalid(f"--retries cannot be negative ({number})", value)
    return number


def _invalid(message: str, subject: str) -> WardianError:
    return WardianError(INVALID, message, operation="change", subject=subject)
