"""Moments: what --since and --until mean, and how tables write a time."""

from __future__ import annotations

import time

from wardian.cli.command import Failure
from wardian.cli.human import lapse

_GO_ZERO = -62135596800  # Time{}: an image may say that it was made then
_NANO = 1_000_000_000
_DATE = r"(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?)?(Z|[+-]\d\d:\d\d)?"


def read_since(text: str) -> str | None:
    """A moment, or `id:17`: what came after the event with that id (an engine's own, as `events --format` shows it)."""
    return text if text.startswith("id:") and text[3:].isdigit() else read_moment(text)


def read_moment(text: str, flag: str = "") -> str | None:
    """`10m` (ago), RFC 3339 with or without its later parts, or unix seconds → unix seconds as the API takes them."""
    if not text:
        return None
    from wardian.cli.values import read_duration

    seconds, dot, part = text.removeprefix("+").partition(".")
    if seconds.isascii() and seconds.isdigit() and (not dot or (part.isascii() and part.isdigit())):
        return text.removeprefix("+")
    try:
        return str(int(time.time() - read_duration(text) / _NANO))
    except ValueError:
        pass
    try:
        return _read_date(text)
    except ValueError:
        where = f'invalid value for "{flag}": ' if flag else ""
        raise Failure(f'{where}failed to parse value as time or duration: "{text}"') from None


def _read_date(text: str) -> str:
    """In the forms that docker's command takes: datetime alone knows far more. Raises ValueError."""
    import re
    from datetime import datetime

    found = re.fullmatch(_DATE, text, re.ASCII)
    if found is None:
        raise ValueError(text)
    day, hour, minute, second, digits, zone = found.groups()
    moment = datetime.fromisoformat(f"{day}T{hour or '00'}:{minute or '00'}:{second or '00'}{zone or ''}")
    return f"{int(moment.timestamp())}.{(digits or '')[:9]:<09}"  # a line of a log is named by its nanoseconds


def _without_fraction(text: str) -> tuple[str, str]:
    """RFC 3339 without the fraction of its second, and the digits of that."""
    head, dot, rest = text.partition(".")
    digits = rest[: next((i for i, c in enumerate(rest) if not c.isdigit()), len(rest))]
    return (head + rest[len(digits) :], digits) if dot and digits else (text, "")


def seconds_of(text: str) -> float:
    """Unix seconds of an RFC 3339 time of the API; 0 for the zero time of Go, and for none."""
    if not text or text.startswith("0001-"):
        return 0.0
    from datetime import datetime

    whole, digits = _without_fraction(text)
    return datetime.fromisoformat(whole.replace("Z", "+00:00")).timestamp() + float(f"0.{digits or 0}")


def ago(seconds: float) -> str:
    """`2 minutes ago` for a moment."""
    return f"{lapse(time.time() - seconds)} ago" if seconds else "N/A"


def since(seconds: float) -> str:
    """`2 minutes ago` for any moment, 1970 too; N/A for Go's zero time, the year 1."""
    return "N/A" if seconds == _GO_ZERO else f"{lapse(time.time() - seconds)} ago"


def stamp(seconds: float) -> str:
    """Go's Time.String: 2026-11-21 14:35:59 +0000 UTC, in this process's zone."""
    moment = time.localtime(seconds)
    return f"{moment.tm_year:04d}" + time.strftime("-%m-%d %H:%M:%S %z %Z", moment)


def iso(seconds: float) -> str:
    """RFC 3339 in this process's zone: 2026-11-21T14:29:37Z."""
    moment = time.localtime(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + _zone(moment)


def iso_nano(nanoseconds: int) -> str:
    """RFC 3339 with nine digits of a second, in this process's zone."""
    moment = time.localtime(nanoseconds // _NANO)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{nanoseconds % _NANO:09d}" + _zone(moment)


def _zone(moment: time.struct_time) -> str:
    zone = time.strftime("%z", moment)
    return "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
