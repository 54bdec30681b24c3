"""The exit record: what a supervisor leaves in RUN_DIR/exit (launcher/exit.c writes it, complete or not at all)."""

import json
import os
import time
from typing import NamedTuple

import msgspec

from wardian.errors import CONFLICT, SYSTEM, WardianError

VERSION = 1
_MOST = 1 << 16  # bytes of a record
SUPERVISOR_LOST = "supervisor lost"
TIMEOUT = "timeout"  # its time was over: --timeout
UNREADABLE = "exit record unreadable"


class ExitRecord(NamedTuple):
    """How a container ended. Times are Unix nanoseconds; `exit_code` is 128 + `signal` when a signal ended it."""

    version: int
    exit_code: int
    signal: int
    oom_killed: bool
    oom_count: int
    oom_victim: str  # "name (pid N)" from the kernel's log, "" when there was none
    peak_memory: int  # bytes; 0: not known
    cpu_ns: int
    started_at: int
    finished_at: int
    reason: str  # "exited", "signal", "timeout", or one of the above; earlier supervisors said "out of memory" too
    log_lost: int = 0  # bytes of output that the log could not take


def parse_exit(data: bytes) -> ExitRecord:
    """The record that a supervisor wrote or sent. Raises WardianError: CONFLICT when it is of a newer version, SYSTEM
    when it is damaged."""
    try:
        fields = msgspec.json.decode(data)
        version = fields["version"]
        if version > VERSION:
            raise WardianError(CONFLICT, f"an exit record of version {version}: this Wardian reads up to {VERSION}")
        return ExitRecord(**{name: fields[name] for name in ExitRecord._fields if name in fields})
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise WardianError(SYSTEM, f"a damaged exit record: {error!r}") from error


def read_exit(run_dir: str) -> ExitRecord | None:
    """The record of a container that has ended, None while it runs (or when its supervisor was lost). Raises OSError,
    and WardianError as `parse_exit` does."""
    try:
        fd = os.open(os.path.join(run_dir, "exit"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return parse_exit(os.read(fd, _MOST))
    finally:
        os.close(fd)


def lost_exit(started_at: int = 0, reason: str = SUPERVISOR_LOST) -> ExitRecord:
    """Of a container whose supervisor died: it was killed, and nobody saw its status. Or nobody can read it."""
    return ExitRecord(VERSION, 137, 9, False, 0, "", 0, 0, started_at, time.time_ns(), reason)


def write_exit(run_dir: str, record: ExitRecord) -> None:
    """Leave a record in the supervisor's stead."""
    staged = os.path.join(run_dir, "exit.tmp")
    with open(staged, "w") as file:
        json.dump(record._asdict(), file)
    os.rename(staged, os.path.join(run_dir, "exit"))
