"""A container whose supervisor is lost: what is left of it is killed, as by launcher/group.c, and its end recorded."""

import contextlib
import errno
import logging
import os
import signal
import time
from collections.abc import Sequence

from wardian.errors import SYSTEM, WardianError
from wardian.kernel import procfs
from wardian.kernel.pidfd import send_signal
from wardian.runtime.exitrecord import UNREADABLE, ExitRecord, lost_exit, read_exit, write_exit

log = logging.getLogger(__name__)

_KILL_ROUNDS, _KILL_PAUSE = 200, 0.005
_REMOVAL_DEADLINE = 3.0  # seconds, as launcher/group.c


def end_lost(run_dir: str, groups: Sequence[str], pid: int, start_time: int) -> ExitRecord:
    """Take down a container whose supervisor is gone, so that it is never one that nobody can wait for.

    `groups` are its own cgroup directories, absolute; `pid` and `start_time` name its first process. Kills, removes the
    groups, returns the exit record; where none can be read it leaves one (137, "supervisor lost"). Idempotent. Raises
    WardianError when something in the groups does not die; a group or a record that stays as it is holds no end back.
    """
    send_signal(pid, start_time, signal.SIGKILL)
    for attempt in range(_KILL_ROUNDS):
        left = [group for group in groups if _kill_group(group)]
        if not left:
            break
        if attempt == _KILL_ROUNDS - 1:
            raise WardianError(SYSTEM, f"processes in {left[0]} do not die", operation="kill", subject=run_dir)
        time.sleep(_KILL_PAUSE)
    deadline = time.monotonic() + _REMOVAL_DEADLINE
    for group in groups:
        _remove_group(group, deadline)
    record = _record_of(run_dir)
    try:
        os.unlink(os.path.join(run_dir, "supervisor.sock"))
    except FileNotFoundError:
        pass
    return record


def _record_of(run_dir: str) -> ExitRecord:
    """What its supervisor left, or one in its stead."""
    try:
        record = read_exit(run_dir)
    except (OSError, WardianError) as error:
        log.error("%s: how it ended cannot be read: %s", run_dir, error)
        record = lost_exit(reason=UNREADABLE)
    else:
        if record is not None:
            return record
        record = lost_exit()
    try:
        write_exit(run_dir, record)
    except OSError as error:  # a full disk, say; who finds no record ends it once more
        log.error("%s: the exit record was not written: %s", run_dir, error)
    return record


def _kill_group(group: str) -> bool:
    """SIGKILL for all in a group and below; true while something is left. Version 2 in one write, version 1 frozen
    meanwhile so that nothing forks away (cgroup-v2.rst, freezer-subsystem.rst)."""
    if not os.path.isdir(group):
        return False
    if _write(f"{group}/cgroup.kill", "1"):
        return "populated 1" in procfs.read(f"{group}/cgroup.events")
    freezer = _write(f"{group}/freezer.state", "FROZEN")
    left = False
    for directory, _, _ in os.walk(group):
        for pid in procfs.read(f"{directory}/cgroup.procs").split():
            left = True
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
    if freezer:
        _write(f"{group}/freezer.state", "THAWED")
    return left


def _write(path: str, text: str) -> bool:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        return False
    return True


def _remove_group(group: str, deadline: float) -> None:
    """Busy is a group while its last process is still leaving, and one in which a group was just made."""
    while True:
        try:
            return _remove_tree(group)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY) or time.monotonic() >= deadline:
                return log.error("remove %s: %s", error.filename, error.strerror)
        time.sleep(_KILL_PAUSE)


def _remove_tree(group: str) -> None:
    for directory, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(directory)
