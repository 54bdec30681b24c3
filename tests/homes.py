"""Homes for tests: every engine of a test has its own data root, run root, socket, cgroup base and bridge.

All names carry RUN, so that a check afterwards can tell this test run from another beside it. Where pytest-xdist runs
the tests in several processes, each of them is a run of its own, whose name the first process gave it.
"""

import contextlib
import itertools
import os
import secrets

from wardian.home import Home, make_home

RUN = secrets.token_hex(3)
PARTS: list[str] = []  # the runs of the processes that this one had started to share the tests
PART = False  # is this one of those?
CGROUP_PARENT = "wardian-test"

_counter = itertools.count()


def new_part() -> str:
    """The name of one more process's run."""
    PARTS.append(secrets.token_hex(3))
    return PARTS[-1]


def be_part(run: str) -> None:
    global RUN, PART
    RUN, PART = run, True


def runs() -> tuple[str, ...]:
    return RUN, *PARTS


def new_home(directory: str) -> Home:
    """A Home below `directory` (keep it short: a unix socket's path has 107 bytes, unix(7)). Makes nothing."""
    number = next(_counter)
    return make_home(
        data_root=os.path.join(directory, "data"),
        run_root=os.path.join(directory, "run"),
        cgroup_base=f"{CGROUP_PARENT}/{RUN}-{number}",
        bridge=f"wt{RUN}{number}",
    )


def cgroup_mounts() -> list[str]:
    with open("/proc/self/mounts") as file:
        return [fields[1] for fields in (line.split() for line in file) if fields[2] in ("cgroup", "cgroup2")]


def remove_empty_groups(base: str) -> None:
    """Removes a home's cgroup directories that are empty; one that is not stays, for the leak check to find."""
    for mount in cgroup_mounts():
        for directory, _, _ in os.walk(os.path.join(mount, base), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        with contextlib.suppress(OSError):  # shared with other test runs: goes with the last of them
            os.rmdir(os.path.join(mount, CGROUP_PARENT))


def remove_run_groups() -> None:
    """All empty ones of this run. Another run's are none of ours even when they are empty: a container that is being
    started has its group a moment before it has a process."""
    for mount in cgroup_mounts():
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(os.path.join(mount, CGROUP_PARENT)):
                if name.startswith(tuple(f"{run}-" for run in runs())):
                    remove_empty_groups(f"{CGROUP_PARENT}/{name}")
