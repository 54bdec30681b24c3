"""How many descriptors this process may have open (getrlimit(2), RLIMIT_NOFILE), and how many of them it has.

The engine takes the hard limit for its soft one, as each container costs it two descriptors. Its containers have the
soft limit that it was started with: programs that use select(2), or close all descriptors that there may be, are
written for a small one.
"""

import os
import re
import resource

from wardian.kernel import procfs

_given: tuple[int, int] | None = None  # as we were started, once the limit is raised


def raise_limit() -> None:
    global _given
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _given = soft, hard


def given() -> tuple[int, int]:
    """Soft and hard limit as we were started."""
    return _given or resource.getrlimit(resource.RLIMIT_NOFILE)


def limits_of(pid: int) -> tuple[int, int] | None:
    """Soft and hard limit of another process (proc(5), limits), which anybody may read: prlimit(2) of another user's
    takes CAP_SYS_RESOURCE. None when it has ended."""
    found = re.search(r"^Max open files +(\d+) +(\d+) ", procfs.read(f"/proc/{pid}/limits"), re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def left() -> int:
    """How many more may be opened."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # proc(5): since Linux 6.2 the directory's size is their number
    have = os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    return most - have
