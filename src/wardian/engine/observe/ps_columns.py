"""The columns of ps(1) that `top` can show, each with its title and what it makes of a process. Pure but for names of
users and groups, which are the host's."""

import grp
import pwd
import time
from collections.abc import Callable
from typing import NamedTuple

from wardian.kernel import procfs
from wardian.kernel.processes import Process

_DAY = 86400


class Column(NamedTuple):
    title: str
    show: Callable[[Process], str]


def _user(uid: int) -> str:
    try:
        return _short(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return _short(grp.getgrgid(gid).gr_name)
    except KeyError:
        return str(gid)


def _short(name: str) -> str:
    return name if len(name) <= 8 else f"{name[:7]}+"


def _arguments(process: Process) -> str:
    if process.stat[0] == "Z":
        return f"[{_clean(process.name)}] <defunct>"
    return _clean(process.arguments) if process.arguments else f"[{_clean(process.name)}]"


def _name(process: Process) -> str:
    return _clean(process.name) + (" <defunct>" if process.stat[0] == "Z" else "")


def _clean(text: str) -> str:
    """It comes from inside the container, and goes to a person's terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _percent(part: float, whole: float) -> str:
    value = 100 * part / whole if whole else 0.0
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _usage(process: Process) -> str:
    return str(min(99, int(100 * process.cpu_time / process.elapsed)) if process.elapsed else 0)


def _long_time(seconds: float) -> str:
    days, rest = divmod(int(seconds), _DAY)
    text = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{text}" if days else text


def _short_time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _elapsed(process: Process) -> str:
    text = _long_time(process.elapsed)
    return text.removeprefix("00:") if "-" not in text else text


def _started(process: Process, today: str, other: str) -> str:
    moment, now = time.localtime(process.started_at), time.localtime()
    if moment.tm_year != now.tm_year:
        return str(moment.tm_year)
    return time.strftime(today if moment.tm_yday == now.tm_yday else other, moment)


def _terminal(process: Process) -> str:
    """tty_nr as the kernel's list of devices has it (Documentation/admin-guide/devices.txt)."""
    number = process.number(7) & 0xFFFFFFFF
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return "?"


def _state(process: Process) -> str:
    nice = process.number(19)
    letters = [
        process.stat[0],
        "<" if nice < 0 else "N" if nice > 0 else "",
        "L" if process.status.get("VmLck", "0 kB") != "0 kB" else "",
        "s" if process.number(6) == process.pid else "",
        "l" if process.number(20) > 1 else "",
        "+" if process.number(8) == process.number(5) else "",
    ]
    return "".join(letters)


def _waits_in(process: Process) -> str:
    found = procfs.read(f"/proc/{process.pid}/task/{process.thread}/wchan").strip()
    return "-" if found in ("", "0") else found[:6]


def _kilobytes(size: int) -> str:
    return str(size // 1024)


def _code(process: Process) -> int:
    """Of the program's text, in kB (fields 26 and 27); a kernel thread has none."""
    return max(0, process.number(27) - process.number(26)) // 1024


def _field(number: int) -> Callable[[Process], str]:
    return lambda process: str(process.number(number))


_CLASSES = {0: "TS", 1: "FF", 2: "RR", 3: "B", 5: "IDL", 6: "DLN"}
COLUMNS = {
    "pid": Column("PID", lambda process: str(process.pid)),
    "lwp": Column("LWP", lambda process: str(process.thread)),
    "spid": Column("SPID", lambda process: str(process.thread)),
    "tid": Column("TID", lambda process: str(process.thread)),
    "ppid": Column("PPID", _field(4)),
    "pgid": Column("PGID", _field(5)),
    "sid": Column("SID", _field(6)),
    "tpgid": Column("TPGID", _field(8)),
    "user": Column("USER", lambda process: _user(process.ids("Uid")[1])),
    "ruser": Column("RUSER", lambda process: _user(process.ids("Uid")[0])),
    "uid": Column("UID", lambda process: str(process.ids("Uid")[1])),
    "ruid": Column("RUID", lambda process: str(process.ids("Uid")[0])),
    "group": Column("GROUP", lambda process: _group(process.ids("Gid")[1])),
    "rgroup": Column("RGROUP", lambda process: _group(process.ids("Gid")[0])),
    "gid": Column("GID", lambda process: str(process.ids("Gid")[1])),
    "rgid": Column("RGID", lambda process: str(process.ids("Gid")[0])),
    "%cpu": Column("%CPU", lambda process: _percent(process.cpu_time, process.elapsed)),
    "c": Column("C", _usage),
    "%mem": Column("%MEM", lambda process: _percent(process.resident, process.machine.memory)),
    "vsz": Column("VSZ", lambda process: _kilobytes(process.number(23))),
    "rss": Column("RSS", lambda process: _kilobytes(process.resident)),
    "sz": Column("SZ", lambda process: str(process.number(23) // 4096)),
    "trs": Column("TRS", lambda process: str(_code(process))),
    "drs": Column("DRS", lambda process: str(max(0, process.number(23) // 1024 - _code(process)))),
    "tty": Column("TTY", _terminal),
    "tt": Column("TT", _terminal),
    "stat": Column("STAT", _state),
    "s": Column("S", lambda process: process.stat[0]),
    "f": Column("F", lambda process: f"{process.number(9) >> 6 & 7:o}"),
    "ni": Column("NI", _field(19)),
    "pri": Column("PRI", lambda process: str(39 - process.number(18))),
    "priority": Column("PRI", _field(18)),
    "opri": Column("PRI", lambda process: str(60 + process.number(18))),
    "cls": Column("CLS", lambda process: _CLASSES.get(process.number(41), "?")),
    "rtprio": Column("RTPRIO", lambda process: str(process.number(40) or "-")),
    "psr": Column("PSR", _field(39)),
    "nlwp": Column("NLWP", _field(20)),
    "min_flt": Column("MINFL", _field(10)),
    "maj_flt": Column("MAJFL", _field(12)),
    "addr": Column("ADDR", lambda process: "-"),
    "wchan": Column("WCHAN", _waits_in),
    "stime": Column("STIME", lambda process: _started(process, "%H:%M", "%b%d")),
    "bsdstart": Column("START", lambda process: _started(process, "%H:%M", "%b%d")),
    "start": Column("STARTED", lambda process: _started(process, "%H:%M:%S", "%b %d")),
    "lstart": Column("STARTED", lambda process: time.ctime(process.started_at)),
    "etime": Column("ELAPSED", _elapsed),
    "etimes": Column("ELAPSED", lambda process: str(int(process.elapsed))),
    "time": Column("TIME", lambda process: _long_time(process.cpu_time)),
    "bsdtime": Column("TIME", lambda process: _short_time(process.cpu_time)),
    "cputimes": Column("TIME", lambda process: str(int(process.cpu_time))),
    "comm": Column("COMMAND", _name),
    "args": Column("COMMAND", _arguments),
    "ucmd": Column("CMD", _name),
    "cmd": Column("CMD", _arguments),
    "named-user": Column("UID", lambda process: _user(process.ids("Uid")[1])),  # UID of -f, which shows the name
}
NAMING = {"comm", "args", "ucmd", "cmd"}  # where the tree of --forest is drawn
# other names that -o takes
SYNONYMS = {
    "euser": "user", "uname": "user", "euid": "uid", "egroup": "group", "egid": "gid", "pcpu": "%cpu", "pmem": "%mem",
    "vsize": "vsz", "rssize": "rss", "rsz": "rss", "tname": "tty", "state": "s", "flags": "f", "flag": "f",
    "nice": "ni", "class": "cls", "policy": "cls", "thcount": "nlwp", "majflt": "maj_flt", "minflt": "min_flt",
    "start_time": "stime", "cputime": "time", "command": "args", "ucomm": "comm", "sess": "sid",
    "session": "sid", "pgrp": "pgid",
}  # fmt: skip
