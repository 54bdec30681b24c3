"""The operations that a plan is made of: plain values that describe themselves.

Each class is a row of `protocol.OPERATIONS`: `FsOpen` is `fs_open`, its fields are the row's fields, in order. Handles
(`h`, `n`, `H`) are names here ("root", "cgroup memory") and become numbers in `Plan.encode`; "" is no handle.
Numbers of flags are the kernel's; the man page of the call is named where it is not the class's own name.
The modules are the launcher's files that carry them out.
"""

import re
from typing import NamedTuple

from wardian.runtime import protocol
from wardian.runtime.ops import cgroup, files, mount, namespace, process, stdio
from wardian.runtime.ops.cgroup import (
    CgroupDevices,
    CgroupEnter,
    CgroupInherit,
    CgroupMake,
    CgroupTasks,
    CgroupWrite,
)
from wardian.runtime.ops.files import (
    O_DIRECTORY,
    O_PATH,
    O_WRONLY,
    Mkdir,
    Mknod,
    Open,
    Symlink,
    Write,
    WriteIn,
)
from wardian.runtime.ops.mount import (
    Attach,
    AttachRoot,
    FsFlag,
    FsHandle,
    FsMount,
    FsOpen,
    FsPath,
    FsString,
    LegacyOverlay,
    Mask,
    Mount,
    OpenIn,
    Pivot,
    Propagation,
    ReadOnly,
    SetMount,
    Subtree,
    Tree,
    TreeIn,
)
from wardian.runtime.ops.namespace import (
    Clone,
    Domainname,
    Hostname,
    IdMap,
    Join,
    Loopback,
    Pidfd,
    Unshare,
)
from wardian.runtime.ops.process import (
    INFINITY,
    RLIMITS,
    Bounding,
    Capabilities,
    Chdir,
    Exec,
    Init,
    NoNewPrivileges,
    Rlimit,
    Seccomp,
    Umask,
    User,
)
from wardian.runtime.ops.stdio import (
    Console,
    Listener,
    LogAttributes,
    Session,
    Stdio,
    StdioOwner,
    Supervise,
    Timeout,
)

__all__ = [
    "CLASSES",
    "INFINITY",
    "O_DIRECTORY",
    "O_PATH",
    "O_WRONLY",
    "RLIMITS",
    "ROWS",
    "Attach",
    "AttachRoot",
    "Bounding",
    "Capabilities",
    "CgroupDevices",
    "CgroupEnter",
    "CgroupInherit",
    "CgroupMake",
    "CgroupTasks",
    "CgroupWrite",
    "Chdir",
    "Clone",
    "Console",
    "Domainname",
    "Exec",
    "FsFlag",
    "FsHandle",
    "FsMount",
    "FsOpen",
    "FsPath",
    "FsString",
    "Hostname",
    "IdMap",
    "Init",
    "Join",
    "LegacyOverlay",
    "Listener",
    "LogAttributes",
    "Loopback",
    "Mask",
    "Mkdir",
    "Mknod",
    "Mount",
    "NoNewPrivileges",
    "Open",
    "OpenIn",
    "Operation",
    "Pidfd",
    "Pivot",
    "Propagation",
    "ReadOnly",
    "Rlimit",
    "Seccomp",
    "Session",
    "SetMount",
    "Stdio",
    "StdioOwner",
    "Step",
    "Subtree",
    "Supervise",
    "Symlink",
    "Timeout",
    "Tree",
    "TreeIn",
    "Umask",
    "Unshare",
    "User",
    "Write",
    "WriteIn",
    "row_name",
]

Operation = (
    cgroup.Operation | files.Operation | mount.Operation | namespace.Operation | process.Operation | stdio.Operation
)


class Step(NamedTuple):
    """An operation in its place: who carries it out, and whether the plan goes on when it fails."""

    op: Operation
    phase: int
    may_fail: bool = False

    def describe(self) -> str:
        return self.op.describe()


def row_name(kind: type) -> str:
    """`FsOpen` → `fs_open`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


ROWS = {row.name: row for row in protocol.OPERATIONS}
CLASSES: dict[str, type[Operation]] = {row_name(kind): kind for kind in Operation.__args__}
