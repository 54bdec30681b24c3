"""Signals by the names that people type (signal(7))."""

from wardian.errors import INVALID, WardianError

_SIGNALS = """
    HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG
    XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
"""
_SIGNAL_NAMES = {name: number for number, name in enumerate(_SIGNALS.split(), start=1)} | {
    "IOT": 6, "CLD": 17, "POLL": 29, "RTMIN": 34, "RTMAX": 64,
}  # fmt: skip

_NAMES = {number: f"SIG{name}" for name, number in reversed(_SIGNAL_NAMES.items())}


def signal_name(number: int) -> str:
    """SIGTERM for 15; "signal 40" for what has no name of its own."""
    return _NAMES.get(number, f"signal {number}")


def stop_signal(value: str) -> int:
    """What a container's StopSignal means: SIGTERM without one. Docker stores any number; for one that the kernel does
    not have it sends SIGKILL, when that one could not be sent."""
    try:
        return signal_number(value) if value else 15
    except WardianError:
        return 9


def signal_number(value: str, path: str = "signal") -> int:
    """A name with or without SIG, RTMIN+n, RTMAX-n or a number. Raises WardianError(INVALID) in docker's words."""
    word = value.upper().removeprefix("SIG")
    if word.isdigit() and 0 < int(word) <= 64:
        return int(word)
    base, sign, offset = word.partition("+") if "+" in word else word.partition("-")
    number: int = _SIGNAL_NAMES.get(base, 0)
    if sign and base in ("RTMIN", "RTMAX") and offset.isdigit():
        number += int(offset) if sign == "+" else -int(offset)
        number = number if 34 <= number <= 64 else 0
    elif sign:
        number = 0
    if not number:
        raise WardianError(INVALID, f"invalid signal: {value}", operation="signal", subject=path)
    return number
