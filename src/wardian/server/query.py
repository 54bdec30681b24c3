"""The query of a request: Docker's spellings of booleans, numbers, times and filters."""

import re
from typing import Any
from urllib.parse import parse_qs

import msgspec

from wardian.errors import INVALID, WardianError
from wardian.server.heads import first_no_escape

# What Docker takes as false (httputils.BoolValue); everything else that is not empty is true.
_FALSE = frozenset({"", "0", "no", "false", "none"})
_SECOND = 1_000_000_000
_MOST = (1 << 31) - 1  # no number of the API is larger
_TIMESTAMP = re.compile(r"(-?\d{1,10})(?:\.(\d{1,64}))?")  # past nine digits they are cut off
_FRACTION = re.compile(r"[.,](\d{1,64})")  # of RFC 3339's second: as many; datetime has but six


class Query:
    """Decoded query parameters, the first value of a repeated one unless asked for all. Decoded when the first one is
    asked for, and refused then: as Docker's, an operation that knows no parameter does not look whether they are well
    written."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoded: dict[str, list[str]] | None = None

    @property
    def _values(self) -> dict[str, list[str]]:
        if self._decoded is None:
            self._decoded = _decode(self._text) if self._text else {}
        return self._decoded

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        if name not in self:
            return default
        return self.text(name).strip().lower() not in _FALSE

    def number(self, name: str, default: int | None = None) -> int | None:
        text = self.text(name).strip()
        if not text:
            return default
        try:
            number = int(text)
            if not -_MOST <= number <= _MOST:
                raise ValueError
            return number
        except ValueError:
            raise WardianError(INVALID, f"invalid value for {name}: {text!r} is no number", subject=name) from None

    def size_of_terminal(self) -> tuple[int, int]:
        """`h` and `w`, of 16 bits each (struct winsize, ioctl_tty(2)). Raises WardianError in Docker's words, also for
        what Docker cuts down to 16 bits."""
        return self._side("h", "height"), self._side("w", "width")

    def _side(self, name: str, word: str) -> int:
        text = self.text(name)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            why = "invalid syntax"
        elif text != digits or len(digits) > 5 or int(digits) >= 1 << 16:
            why = "value out of range"
        else:
            return int(digits)
        raise WardianError(INVALID, f'invalid resize {word} "{text}": {why}', operation="resize", subject=name)

    def nanoseconds(self, name: str) -> int:
        """A unix time as `seconds[.fraction]`, or RFC 3339, in nanoseconds; 0 when it is not given."""
        text = self.text(name).strip()
        if not text:
            return 0
        found = _TIMESTAMP.fullmatch(text)
        if found:
            return int(found[1]) * _SECOND + _nine(found[2] or "")
        return _parse_date(name, text)

    def filters(self) -> dict[str, list[str]]:
        return decode_filters(self.text("filters"))


def _decode(text: str) -> dict[str, list[str]]:
    """Raises INVALID in the words of Go's net/url, which are Docker's."""
    if "%" in text or ";" in text:
        for pair in text.split("&"):
            if ";" in pair:
                raise _unreadable("invalid semicolon separator in query")
            if wrong := first_no_escape(pair):
                raise _unreadable(f'invalid URL escape "{wrong}"')
    return parse_qs(text, keep_blank_values=True)


def _unreadable(why: str) -> WardianError:
    return WardianError(INVALID, why, operation="read the query")


def _parse_date(name: str, text: str) -> int:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(_FRACTION.sub("", text, count=1))
    except ValueError:
        raise WardianError(INVALID, f"invalid value for {name}: {text!r} is no time", subject=name) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    fraction = _FRACTION.search(text)
    return int(moment.timestamp()) * _SECOND + _nine(fraction[1] if fraction else "")


def _nine(digits: str) -> int:
    """Nanoseconds of the digits behind a second's point."""
    return int(digits.ljust(9, "0")[:9])


def decode_filters(text: str) -> dict[str, list[str]]:
    """`{"label":["a"]}` (as of API 1.22) and `{"label":{"a":true}}` (since) are the same filter. Raises INVALID in
    Docker's words; the hint says what is wrong."""
    if not text:
        return {}
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise _invalid_filter(str(error)) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid_filter("filters are a JSON object")
    return {name: _filter_values(name, entry) for name, entry in value.items()}


def _filter_values(name: str, entry: Any) -> list[str]:
    if isinstance(entry, dict):
        if all(isinstance(wanted, bool) for wanted in entry.values()):
            return [key for key, wanted in entry.items() if wanted]
    elif isinstance(entry, list) and all(isinstance(one, str) for one in entry):
        return entry
    raise _invalid_filter(f"{name} is a list, or a map to booleans")


def _invalid_filter(hint: str) -> WardianError:
    return WardianError(INVALID, "invalid filter", operation="read the query", subject="filters", hint=hint)
