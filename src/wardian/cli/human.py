"""Numbers as people read them: sizes and lapses of time with the words and roundings of Docker's tables."""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_MINUTE, _HOUR = 60, 3600
_DAYS = 24


def short_float(number: float, digits: int) -> str:
    """Go's %.Ng without its exponent for numbers that these tables hold."""
    return f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}"


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    step = 0
    while size >= base and step < len(units) - 1:
        size /= base
        step += 1
    return short_float(size, digits) + units[step]


def size_text(size: float, digits: int = 3) -> str:
    """Bytes in powers of 1000: 1.98MB."""
    return _scaled(float(size), 1000.0, _DECIMAL, digits)


def memory_text(size: float) -> str:
    """Bytes in powers of 1024: 7.748GiB."""
    return _scaled(float(size), 1024.0, _BINARY, 4)


def lapse(seconds: float) -> str:
    """A duration in words: `3 seconds`, `About a minute`, `2 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < _MINUTE:
        return f"{whole} seconds"
    minutes = whole // _MINUTE
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    return _long_lapse(hours, seconds)


def _long_lapse(hours: int, seconds: float) -> str:
    if hours < 48:
        return f"{hours} hours"
    for limit, unit, name in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if hours < limit * _DAYS:
            return f"{hours // _DAYS // unit} {name}"
    return f"{int(seconds / _HOUR) // _DAYS // 365} years"


def go_duration(nanoseconds: int) -> str:
    """Go's Duration.String: 30s, 1m30s, 1.5ms, 0s."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, name in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if rest < unit * 1000:
            return f"{sign}{_trimmed(rest, unit)}{name}"
    minutes, seconds = divmod(rest, 60_000_000_000)
    text = f"{_trimmed(seconds, 1_000_000_000)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = (f"{hours}h" if hours else "") + f"{minutes}m{text}"
    return sign + text


def _trimmed(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    return f"{whole}.{part:0{len(str(unit)) - 1}d}".rstrip("0").rstrip(".") if part else str(whole)
