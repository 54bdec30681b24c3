"""The freezer of a control group: all in it and below stands still (cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst,
cgroup.freeze)."""

import errno
import os
import time

from wardian.kernel import procfs

_AGAIN = 0.001


def set_frozen(directory: str, frozen: bool) -> None:
    """Ask for it. Raises FileNotFoundError when the group, or its freezer, is not there."""
    try:
        _write(f"{directory}/cgroup.freeze", "1" if frozen else "0")
    except FileNotFoundError:
        _write(f"{directory}/freezer.state", "FROZEN" if frozen else "THAWED")


def is_frozen(directory: str) -> bool:
    """Whether all of it stands still; false also for a group that is not there."""
    if procfs.read(f"{directory}/freezer.state").strip() == "FROZEN":
        return True
    return "frozen 1" in procfs.read(f"{directory}/cgroup.events")


def freeze(directory: str, deadline: float) -> bool:
    """Freeze, and wait until all stands still. False when something did not within `deadline` seconds (it sits in the
    kernel, say): then the group is thawed again. Version 1 has to be asked again for who was forked meanwhile."""
    end = time.monotonic() + deadline
    while True:
        set_frozen(directory, True)
        if is_frozen(directory):
            return True
        if time.monotonic() >= end:
            set_frozen(directory, False)
            return False
        time.sleep(_AGAIN)


def _write(path: str, text: str) -> None:
    """ENODEV says that the group went between open and write: the same to a caller as one that was gone before."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        raise
    finally:
        os.close(fd)
