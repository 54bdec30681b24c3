"""The value of an `until` filter: a moment, told in one of Docker's three ways."""

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
