"""Processes by pid with start time, which no later process has, and signals to exactly them (pidfd_open(2))."""

import os
import signal

from wardian.kernel import procfs


def same_process(pid: int, start_time: int) -> bool:
    """Whether `pid` is still the process that began at `start_time`."""
    try:
        return pid > 0 and procfs.start_time(pid) == start_time
    except ProcessLookupError:
        return False


class Held:
    """A process that is exactly the one that was asked for: its descriptor was open before its start time was compared.
    Whoever has it closes it."""

    def __init__(self, pid: int, fd: int, stat: procfs.Stat) -> None:
        self._pid = pid
        self._fd = fd
        self._stat = stat

    def drops(self, number: int) -> bool:
        """procfs.drops_signal, which reads more of it: not of a process that has a handler, as most do who are asked
        to end."""
        return not (number < 32 and self._stat.caught >> (number - 1) & 1) and procfs.drops_signal(self._pid, number)

    def send(self, number: int) -> bool:
        """False when it is gone."""
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        os.close(self._fd)


def hold(pid: int, start_time: int) -> Held | None:
    """None when it is gone."""
    if pid <= 0:
        return None
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        stat = procfs.stat(pid)
        if stat.start_time == start_time:
            return Held(pid, fd, stat)
    except ProcessLookupError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def send_signal(pid: int, start_time: int, number: int) -> bool:
    """Signal exactly this process; False when it is gone."""
    process = hold(pid, start_time)
    if process is None:
        return False
    try:
        return process.send(number)
    finally:
        process.close()
