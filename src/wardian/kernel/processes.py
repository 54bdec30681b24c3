"""A process, or a thread of it, as /proc shows it (proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5)): one
snapshot, and what the machine must say to make sense of it."""

import os
from typing import NamedTuple

from wardian.kernel import procfs

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Machine(NamedTuple):
    """`boot`: unix seconds when it began; `uptime` in seconds; `memory` in bytes."""

    boot: float
    uptime: float
    memory: int


class Process(NamedTuple):
    """Times are seconds, sizes bytes. `stat` are the fields of /proc/PID/stat from the third on: the state first.
    `thread` is the pid where the whole process is meant."""

    pid: int
    name: str
    stat: tuple[str, ...]
    status: dict[str, str]
    arguments: str
    machine: Machine
    thread: int

    def number(self, field: int) -> int:
        """Field N of /proc/PID/stat, counted as its man page does."""
        return int(self.stat[field - 3])

    @property
    def cpu_time(self) -> float:
        return (self.number(14) + self.number(15)) / _TICKS

    @property
    def elapsed(self) -> float:
        return max(0.0, self.machine.uptime - self.number(22) / _TICKS)

    @property
    def started_at(self) -> float:
        return self.machine.boot + self.number(22) / _TICKS

    @property
    def resident(self) -> int:
        return self.number(24) * _PAGE

    def ids(self, key: str) -> list[int]:
        """Uid or Gid: real, effective, saved, of the file system."""
        return [int(text) for text in self.status.get(key, "0 0 0 0").split()]


def read_machine() -> Machine:
    uptime = float(procfs.read("/proc/uptime").split()[0])
    boot = next(line.split()[1] for line in procfs.read("/proc/stat").splitlines() if line.startswith("btime "))
    return Machine(float(boot), uptime, os.sysconf("SC_PHYS_PAGES") * _PAGE)


def read_process(pid: int, machine: Machine) -> Process | None:
    """None for one that is gone."""
    return _read(f"/proc/{pid}", pid, pid, machine)


def read_threads(pid: int, machine: Machine) -> list[Process]:
    """Each thread as a process of its own, with its own name, state and times; [] for a process that is gone."""
    try:
        threads = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    except OSError:
        return []
    found = (_read(f"/proc/{pid}/task/{thread}", pid, thread, machine) for thread in threads)
    return [one for one in found if one is not None]


def _read(directory: str, pid: int, thread: int, machine: Machine) -> Process | None:
    head, _, rest = procfs.read(f"{directory}/stat").rpartition(")")
    status = procfs.status_of(directory)
    if not rest or not status:
        return None
    arguments = procfs.read(f"/proc/{pid}/cmdline").rstrip("\0").replace("\0", " ")
    return Process(pid, head.partition("(")[2], tuple(rest.split()), status, arguments, machine, thread)
