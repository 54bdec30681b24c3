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


def send_signal(pid: int, start_time: int, number: int) -> bool:
    """Signal exactly this process; False when it is gone. The descriptor is open before the start time is compared."""
    if pid <= 0:
        return False
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not same_process(pid, start_time):
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True
