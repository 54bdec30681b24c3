"""Moments and durations as Docker's clients tell them: the value of an `until` filter, the times of a HEALTHCHECK."""

import datetime
import re
import time

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
# RFC 3339 has up to nine digits of a second's fraction, datetime takes six
_FRACTION = re.compile(r"(\.\d{6})\d+")


def unix_moment(text: str) -> float | None:
    """Unix seconds of a number of them, a timestamp, or a Go duration before now ("24h", "1h30m"); None for others."""
    if text.isascii() and text.isdigit():
        return int(text)
    if _DURATION.fullmatch(text):
        return time.time() - sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        found = datetime.datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    except ValueError:
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)).timestamp()


def duration_nanoseconds(text: str) -> int | None:
    """Of a Go duration ("1m30s", "-5s", "0"); None for what is none."""
    sign, bare = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if bare == "0":
        return 0
    if not _DURATION.fullmatch(bare):
        return None
    return sign * round(sum(float(number) * _UNITS[unit] * 1e9 for number, unit in _PART.findall(bare)))
