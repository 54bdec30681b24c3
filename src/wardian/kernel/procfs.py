"""What /proc says of processes and mounts (proc(5)): small readers, each of one file."""

import os
from typing import NamedTuple


class MountInfo(NamedTuple):
    """A line of /proc/PID/mountinfo."""

    root: str
    target: str
    options: str
    type: str
    source: str
    super_options: str


def read(path: str) -> str:
    """The text of a file of /proc or /sys; "" when it is not there or not readable."""
    try:
        return _bytes(path).decode("utf-8", "replace")
    except OSError:
        return ""


def _bytes(path: str) -> bytes:
    """By descriptor: the set-up of a file object takes longer than the kernel's answer, and every exec asks."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = [os.read(fd, 8 << 10)]
        while pieces[-1]:  # fewer than asked for are no end: /proc gives whole lines
            pieces.append(os.read(fd, 64 << 10))
        return b"".join(pieces)
    finally:
        os.close(fd)


def boot_id() -> str:
    """What names this boot of the machine (random(4)): what was true of processes and links before is not any more."""
    return read("/proc/sys/kernel/random/boot_id").strip()


def mounts(pid: "int | str" = "self") -> list[MountInfo]:
    """The mounts that a process sees, in the kernel's order."""
    result = []
    for line in read(f"/proc/{pid}/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        result.append(
            MountInfo(_unescape(fields[3]), _unescape(fields[4]), fields[5], rest[0], _unescape(rest[1]), rest[2])
        )
    return result


def place(path: str) -> tuple[str, str]:
    """The device number of the file system that `path` is on, and where it is there: the same by whichever mount it is
    reached (proc(5), mountinfo and fdinfo). Raises OSError."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        seen = os.readlink(f"/proc/self/fd/{fd}")
        facts = dict(line.split(":", 1) for line in read(f"/proc/self/fdinfo/{fd}").splitlines())
    finally:
        os.close(fd)
    number = facts["mnt_id"].strip()
    for line in read("/proc/self/mountinfo").splitlines():
        fields = line.split(" ", 5)
        if fields[0] == number:
            root, target = _unescape(fields[3]), _unescape(fields[4])
            return fields[2], os.path.normpath(os.path.join(root, os.path.relpath(seen, target)))
    raise FileNotFoundError(2, os.strerror(2), path)


def status(pid: "int | str" = "self") -> dict[str, str]:
    """/proc/PID/status by key; {} when the process is gone."""
    return status_of(f"/proc/{pid}")


def status_of(directory: str) -> dict[str, str]:
    """As `status`, of /proc/PID or /proc/PID/task/TID."""
    rows = (line.partition(":") for line in read(f"{directory}/status").splitlines())
    return {key: value.strip() for key, _, value in rows}


def group2(pid: "int | str" = "self") -> str:
    """The group of the v2 hierarchy that a process is in (cgroups(7)); "" where there is none."""
    lines = read(f"/proc/{pid}/cgroup").splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")


def group1(controllers: str, pid: "int | str" = "self") -> str:
    """The same for the v1 hierarchy of these controllers ("cpu,cpuacct", "name=systemd"), in whatever order."""
    wanted = set(controllers.split(","))
    rows = (line.split(":", 2) for line in read(f"/proc/{pid}/cgroup").splitlines())
    return next((group for _, names, group in rows if set(names.split(",")) == wanted), "")


def drops_signal(pid: int, number: int) -> bool:
    """Whether a signal from outside does nothing to this process: it ignores it, or it is the first of its pid
    namespace and has no handler (pid_namespaces(7)). What it blocks it may yet read, by signalfd(2) say; while it
    waits in sigwait(3) the kernel shows nothing as blocked."""
    if number in (9, 19):  # SIGKILL and SIGSTOP from an ancestor namespace are never dropped
        return False
    found = status(pid)

    def has(mask: str) -> bool:
        return bool(int(found.get(mask) or "0", 16) >> (number - 1) & 1)

    if not found or has("SigBlk") or "sigtimedwait" in read(f"/proc/{pid}/wchan"):
        return False
    is_first = found.get("NSpid", "").split()[1:][-1:] == ["1"]
    return has("SigIgn") or (is_first and not has("SigCgt"))


def start_time(pid: "int | str" = "self") -> int:
    """When a process started, in clock ticks since boot: with the pid, its identity. Raises ProcessLookupError."""
    return stat(pid).start_time


class Stat(NamedTuple):
    """Of /proc/PID/stat: when it started, and the signals that it has a handler for, a bit each, up to the 31st."""

    start_time: int
    caught: int


def stat(pid: "int | str" = "self") -> Stat:
    """Raises ProcessLookupError."""
    text = read(f"/proc/{pid}/stat")
    if not text:
        raise ProcessLookupError(3, os.strerror(3), f"/proc/{pid}")
    fields = text.rpartition(")")[2].split()
    return Stat(int(fields[19]), int(fields[31]))


def _unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    if "\\" not in text:
        return text
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
