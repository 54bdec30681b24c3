"""What the root of a running container says of an exec's process: its ids, its command, its directory.

That root is its processes' to change, and what lies in it may never answer (`deadline`). So a thread looks, which costs
as much again as the looking; but where a root has nothing of the user's it is done at once.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from wardian.engine.deadline import At, look
from wardian.engine.files.roots import ROOTFS
from wardian.engine.options.table import HOST, POINTS
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, WardianError
from wardian.kernel.pidfd import same_process
from wardian.runtime import NOT_AT_ONCE, RootFacts, read_root_facts, resolve_user

# With one of these a look may have to wait for something else than the engine's own disk.
_MAY_HANG = (
    *(ROOTFS, POINTS, f"{HOST}Binds", f"{HOST}Mounts"),
    *(f"{HOST}Devices", f"{HOST}DeviceCgroupRules"),  # /dev/fuse
    *(f"{HOST}Privileged", f"{HOST}SecurityOpt"),  # it can mount, or what keeps it from that is not Docker's filter
    f"{HOST}PidMode",  # it can change its root to one of another container's processes (proc(5), /proc/PID/root)
    # A page that its process reads slowly is locked until it is there, also for who reads it without a limit.
    f"{HOST}CgroupParent",
    *(f"{HOST}BlkioDevice{rate}" for rate in ("ReadBps", "WriteBps", "ReadIOps", "WriteIOps")),
)


async def facts_of(
    container: Container, options: Mapping[str, Any], process: Mapping[str, Any], check: bool = False
) -> RootFacts:
    """Raises WardianError. With `check` also for what execve(2) would refuse, of which it says what is wrong."""
    read = partial(_facts, container, options, process, check)
    if _is_ours_alone(container, process):
        try:
            return read(lambda path: None, at_once=True)
        except OSError as error:
            if error.errno not in NOT_AT_ONCE:
                raise
    return await look(read, "exec", f"container {container.id}")


def _is_ours_alone(container: Container, process: Mapping[str, Any]) -> bool:
    """Its root is an overlay on the engine's own disk, and who is in it cannot mount another (mount(2): CAP_SYS_ADMIN,
    which with Docker's filter nobody gets by a user namespace)."""
    asked = any(container.config[name] for name in _MAY_HANG)
    return not asked and "CAP_SYS_ADMIN" not in process["capabilities"]["bounding"]


def _facts(
    container: Container,
    options: Mapping[str, Any],
    process: Mapping[str, Any],
    check: bool,
    at: At,
    at_once: bool = False,
) -> RootFacts:
    user = options.get("User") or container.config["User"]
    args, env, groups = process["args"], process["env"], container.config["HostConfig.GroupAdd"]
    with _own_root(container, at) as root:
        if at_once:
            _refuse_changed_root(root)
        return read_root_facts(root, user, args, env, process["cwd"], groups, at_once=at_once, check=check)


def _refuse_changed_root(root: int) -> None:
    """EXDEV: chroot(2) needs no more than what containers have, and leads to whatever a privileged exec has mounted."""
    if os.readlink(f"/proc/self/fd/{root}") != "/":
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def check_user(container: Container, user: str, at: At) -> None:
    """Raises WardianError(INVALID) for one that the container does not know."""
    with _own_root(container, at) as root:
        resolve_user(root, user)


def has_left(container: Container) -> bool:
    """Whether its first process has let go of its root: it ends (exit(2)), and its mounts, groups and namespaces go."""
    try:
        os.readlink(f"/proc/{container.state.pid}/root")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return not same_process(container.state.pid, container.state.start_time)


@contextmanager
def _own_root(container: Container, at: At) -> Iterator[int]:
    """The root as the container's own processes see it, mounts and all; of that process, and no later one with its
    pid. What the container has mounted there may never answer."""
    at(f"the root of container {container.id}")
    state = container.state
    message = f"container {container.id} is not running"
    try:
        root = os.open(f"/proc/{state.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise WardianError(CONFLICT, message, operation="exec", subject=container.id) from None
    try:
        if not same_process(state.pid, state.start_time):
            raise WardianError(CONFLICT, message, operation="exec", subject=container.id)
        yield root
    finally:
        os.close(root)
