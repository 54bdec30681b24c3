"""Processes by descriptor (pidfd_open(2)), and by pid with start time, which no later process has."""

import os

from wardian.kernel import procfs


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot. Raises ProcessLookupError."""
    return procfs.start_time(pid)


def open_process(pid: int, started: int) -> int:
    """A descriptor of the process that has this pid and start time. Raises ProcessLookupError when it is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        if procfs.start_time(pid) == started:
            return descriptor
    except ProcessLookupError:
        pass
    os.close(descriptor)
    raise ProcessLookupError(3, os.strerror(3), f"/proc/{pid}")
