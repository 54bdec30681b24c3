"""The operations that a plan is made of: plain values that describe themselves.

Each class is a row of `protocol.OPERATIONS`: `FsOpen` is `fs_open`, its fields are the row's fields, in order. Handles
(`h`, `n`, `H`) are names here ("root", "cgroup memory") and become numbers in `Plan.encode`; "" is no handle.
Numbers of flags are the kernel's; the man page of the call is named where it is not the class's own name.
"""

import os
import re
from typing import NamedTuple

from wardian.kernel import capabilities, mounts, namespaces
from wardian.runtime import protocol


class Open(NamedTuple):
    """open(2) of a path of the host."""

    handle: str
    path: str
    flags: int

    def describe(self) -> str:
        return f"open {self.path} as {self.handle}"


class FsOpen(NamedTuple):
    """fsopen(2): a filesystem to be configured."""

    fs: str
    type: str

    def describe(self) -> str:
        return f"new {self.type} filesystem for {self.fs}"


class FsFlag(NamedTuple):
    fs: str
    key: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key}"


class FsString(NamedTuple):
    fs: str
    key: str
    value: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key}={self.value}"


class FsPath(NamedTuple):
    """A directory of the host, opened and given by descriptor (overlayfs since Linux 6.13)."""

    fs: str
    held: str
    key: str
    path: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key}={self.path}"


class FsHandle(NamedTuple):
    fs: str
    key: str
    handle: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key} is {self.handle}"


class FsMount(NamedTuple):
    """fsconfig(2) FSCONFIG_CMD_CREATE and fsmount(2): a detached mount."""

    fs: str
    mount: str
    attributes: int

    def describe(self) -> str:
        return f"make {self.mount}, attached nowhere{mounts.attribute_text(self.attributes)}"


class LegacyOverlay(NamedTuple):
    """mount(2) of an overlay with paths relative to `directory`, cloned detached: kernels below 6.5.

    `over`, a mount, covers the path `place` while that is done.
    """

    mount: str
    directory: str
    target: str
    options: str
    over: str = ""
    place: str = ""

    def describe(self) -> str:
        over = f", {self.over} over {self.place}" if self.over else ""
        return f"make {self.mount}: overlay {self.options} in {self.directory} by mount(2){over}"


class Tree(NamedTuple):
    """open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mounts at a path of the host."""

    mount: str
    path: str
    recursive: int

    def describe(self) -> str:
        return f"copy the mount at {self.path} as {self.mount}{', with those below' if self.recursive else ''}"


class TreeIn(NamedTuple):
    """open_tree(2) with OPEN_TREE_CLONE of a path as another mount namespace has it, without following links.

    The launcher enters that namespace for this call alone: before Linux 6.15 only a mount of the caller's own namespace
    can be cloned.
    """

    mount: str
    namespace: str
    path: str

    def describe(self) -> str:
        return f"copy the mount at {self.path} of {self.namespace} as {self.mount}"


class Subtree(NamedTuple):
    """openat2(2) with RESOLVE_IN_ROOT and open_tree(2) of what it found: a detached copy of a path inside a tree that
    others write, containers say. No link there leads out of it, and it cannot be exchanged in between."""

    mount: str
    root: str
    path: str
    recursive: int

    def describe(self) -> str:
        return f"copy what is at {self.path} in {self.root} as {self.mount}"


class OpenIn(NamedTuple):
    """openat2(2) with RESOLVE_IN_ROOT of a path below a mount that is attached nowhere."""

    handle: str
    root: str
    path: str
    flags: int

    def describe(self) -> str:
        return f"open {self.path} of {self.root} as {self.handle}"


class SetMount(NamedTuple):
    """mount_setattr(2)."""

    mount: str
    set: int
    clear: int
    propagation: int
    recursive: int
    userns: str = ""

    def describe(self) -> str:
        words = mounts.attribute_text(self.set) + mounts.propagation_text(self.propagation)
        if self.clear:
            words += f", not{mounts.attribute_text(self.clear).lstrip(',')}"
        words += f" by {self.userns}" if self.userns else ""
        return f"set {self.mount}{words}{', and all below' if self.recursive else ''}"


class Attach(NamedTuple):
    """move_mount(2) of a detached mount to a path within `root`."""

    mount: str
    root: str
    target: str
    create: int

    def describe(self) -> str:
        return f"attach {self.mount} on {self.target}"


class Mount(NamedTuple):
    """A new filesystem attached to a path within `root`: fsopen … move_mount."""

    root: str
    target: str
    type: str
    source: str
    options: tuple[str, ...]
    attributes: int
    create: int = protocol.CREATE["DIRECTORY"]

    def describe(self) -> str:
        words = f" ({','.join(self.options)})" if self.options else ""
        return f"mount {self.type} on {self.target}{words}{mounts.attribute_text(self.attributes)}"


class Propagation(NamedTuple):
    """mount(2) with only propagation flags on /."""

    flags: int

    def describe(self) -> str:
        return f"propagation of the host's mounts{mounts.propagation_text(self.flags & ~mounts.MS_REC)}"


class AttachRoot(NamedTuple):
    """The detached root goes on top of / of the new mount namespace; the working directory goes into it."""

    mount: str

    def describe(self) -> str:
        return f"attach {self.mount} in the new mount namespace"


class Pivot(NamedTuple):
    """pivot_root(2) onto the root, and the host's mounts detached."""

    root: str

    def describe(self) -> str:
        return f"pivot_root to {self.root}, and let the host's mounts go"


class Mkdir(NamedTuple):
    """A directory within `root`, with those above it; one that exists stays as it is."""

    root: str
    path: str
    mode: int
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        return f"directory {self.path} (mode {self.mode:o})"


class Mknod(NamedTuple):
    root: str
    path: str
    mode: int
    device: int
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        kind = {0o020000: "character", 0o060000: "block"}.get(self.mode & 0o170000, "special")
        major, minor = self.device >> 8 & 0xFFF, self.device & 0xFF | self.device >> 12 & 0xFFF00
        return f"{kind} device {major}:{minor} at {self.path} (mode {self.mode & 0o7777:o})"


class Symlink(NamedTuple):
    root: str
    path: str
    target: str

    def describe(self) -> str:
        return f"symbolic link {self.path} to {self.target}"


class Write(NamedTuple):
    """One write(2) to a file of the host that exists: a sysctl, an attribute in /proc."""

    path: str
    data: bytes

    def describe(self) -> str:
        return f"write {self.data.decode(errors='replace').strip()!r} to {self.path}"


class Mask(NamedTuple):
    """/dev/null over a file, an empty read-only tmpfs over a directory; what is not there needs no mask."""

    root: str
    path: str

    def describe(self) -> str:
        return f"mask {self.path}"


class ReadOnly(NamedTuple):
    """A read-only bind of a path on itself, where it is there."""

    root: str
    path: str

    def describe(self) -> str:
        return f"read-only {self.path}"


class CgroupMake(NamedTuple):
    """mkdir(2) of a group. A shared one may exist and stays; another one must not exist and is removed on failure."""

    directory: str
    path: str
    shared: int

    def describe(self) -> str:
        return f"{'shared ' if self.shared else ''}group {self.path}"


class CgroupInherit(NamedTuple):
    """cpuset of v1: an empty group takes its parent's value, or no process can enter it."""

    directory: str
    file: str

    def describe(self) -> str:
        return f"{self.directory}: {self.file} as in the group above"


class CgroupWrite(NamedTuple):
    directory: str
    file: str
    data: bytes

    def describe(self) -> str:
        return f"{self.directory}: {self.file} = {self.data.decode(errors='replace')}"


class CgroupTasks(NamedTuple):
    """open(2) for writing of the file by which a process enters a group."""

    tasks: str
    directory: str
    file: str

    def describe(self) -> str:
        return f"open {self.file} of {self.directory}"


class CgroupEnter(NamedTuple):
    """A write of `0`: the writer itself enters, which waits for no RCU grace period as a foreign pid would."""

    tasks: str

    def describe(self) -> str:
        return f"enter by {self.tasks}"


class CgroupDevices(NamedTuple):
    """bpf(2): a BPF_PROG_TYPE_CGROUP_DEVICE program loaded and attached to a v2 group."""

    directory: str
    program: bytes

    def describe(self) -> str:
        return f"{self.directory}: device rules, a program of {len(self.program) // 8} instructions"


class Pidfd(NamedTuple):
    """pidfd_open(2) of a process that still has the recorded start time (field 22 of /proc/PID/stat)."""

    pidfd: str
    pid: int
    start_time: int

    def describe(self) -> str:
        return f"hold process {self.pid}, started at {self.start_time}"


class Join(NamedTuple):
    """setns(2)."""

    namespace: str
    flags: int

    def describe(self) -> str:
        return f"join the {namespaces.text(self.flags)} of {self.namespace}"


class Unshare(NamedTuple):
    flags: int

    def describe(self) -> str:
        return f"new {namespaces.text(self.flags)}"


class Clone(NamedTuple):
    """clone3(2), into `cgroup` (v2) where it is given. With `userns` it is a process in that user namespace, its root,
    which clones: so the new namespaces belong to it (user_namespaces(7))."""

    flags: int
    cgroup: str = ""
    userns: str = ""

    def describe(self) -> str:
        new = namespaces.text(self.flags)
        within = f" within {self.userns}" if self.userns else ""
        return f"clone{within}" + (f" into a new {new}" if new else "") + (f", in {self.cgroup}" if self.cgroup else "")


class IdMap(NamedTuple):
    """A write to a file of /proc/CHILD: uid_map, gid_map, setgroups (user_namespaces(7)), oom_score_adj."""

    file: str
    data: bytes

    def describe(self) -> str:
        return f"{self.file} of the child: {self.data.decode().strip()}"


class Supervise(NamedTuple):
    """What the launcher does as the supervisor; its pipes are made here."""

    flags: int
    run_dir: str
    log_dir: str
    log_size: int
    log_files: int
    cgroups: tuple[str, ...]
    root: str
    identity: str
    log_name: str

    def describe(self) -> str:
        how = "a terminal" if self.flags & protocol.SUPERVISE_FLAGS["TTY"] else "pipes"
        log = f", log {self.log_name}" if self.log_dir else ", no log"
        return f"stdio by {how}{log}"


class StdioOwner(NamedTuple):
    """fchown(2) of the supervisor's pipes: who a user namespace maps may then reopen them by /dev/stdout."""

    uid: int

    def describe(self) -> str:
        return f"the pipes of stdio belong to {self.uid}"


class Timeout(NamedTuple):
    """SIGKILL by the supervisor, so many seconds after the start; the exit's reason is then "timeout"."""

    seconds: int

    def describe(self) -> str:
        return f"ended after {self.seconds} s"


class LogAttributes(NamedTuple):
    """What each line of the log carries beside its text: a member of its JSON object, with the comma before it."""

    json: str

    def describe(self) -> str:
        return f"each line of the log with {self.json.removeprefix(',')}"


class Stdio(NamedTuple):
    def describe(self) -> str:
        return "stdin, stdout, stderr are the supervisor's pipes"


class Console(NamedTuple):
    """A pseudo-terminal of the container's own devpts: /dev/console, the controlling terminal, and 0, 1, 2 (pts(4))."""

    root: str
    rows: int
    columns: int

    def describe(self) -> str:
        size = f" of {self.rows}×{self.columns}" if self.rows else ""
        return f"a terminal{size} on stdin, stdout, stderr and /dev/console"


class Session(NamedTuple):
    """setsid(2)."""

    def describe(self) -> str:
        return "a session of its own"


class Loopback(NamedTuple):
    def describe(self) -> str:
        return "link lo up"


class Hostname(NamedTuple):
    name: str

    def describe(self) -> str:
        return f"host name {self.name}"


class Domainname(NamedTuple):
    name: str

    def describe(self) -> str:
        return f"domain name {self.name}"


class Rlimit(NamedTuple):
    """prlimit(2)."""

    resource: int
    soft: int
    hard: int

    def describe(self) -> str:
        return f"limit {RLIMITS[self.resource]} soft {_limit(self.soft)} hard {_limit(self.hard)}"


class Bounding(NamedTuple):
    """PR_CAPBSET_DROP of every capability but these."""

    keep: int

    def describe(self) -> str:
        return f"bounding set: {capabilities.text(self.keep)}"


class User(NamedTuple):
    """setgroups(2), setresgid(2), setresuid(2); capabilities are kept for what follows (PR_SET_KEEPCAPS)."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def describe(self) -> str:
        more = f", groups {','.join(map(str, self.groups))}" if self.groups else ""
        return f"user {self.uid}, group {self.gid}{more}"


class Capabilities(NamedTuple):
    """capset(2) and PR_CAP_AMBIENT."""

    effective: int
    permitted: int
    inheritable: int
    ambient: int

    def describe(self) -> str:
        words = f"capabilities: {capabilities.text(self.permitted)}"
        if self.effective != self.permitted:
            words += f"; effective {capabilities.text(self.effective)}"
        if self.inheritable:
            words += f"; inheritable {capabilities.text(self.inheritable)}"
        return words + (f"; ambient {capabilities.text(self.ambient)}" if self.ambient else "")


class NoNewPrivileges(NamedTuple):
    """PR_SET_NO_NEW_PRIVS."""

    def describe(self) -> str:
        return "no new privileges"


class Seccomp(NamedTuple):
    """seccomp(2) SECCOMP_SET_MODE_FILTER."""

    flags: int
    program: bytes

    def describe(self) -> str:
        return f"system call filter of {len(self.program) // 8} instructions"


class Umask(NamedTuple):
    mask: int

    def describe(self) -> str:
        return f"umask {self.mask:04o}"


class Chdir(NamedTuple):
    """chdir(2), and the place must be within the root (CVE-2024-21626)."""

    path: str

    def describe(self) -> str:
        return f"working directory {self.path}"


class Init(NamedTuple):
    """fork(2): process 1 stays the launcher's own code, which forwards signals to its child, reaps, and exits as the
    child does (128 + signal); with a terminal the child's process group is the foreground one (tcsetpgrp(3))."""

    def describe(self) -> str:
        return "an init as process 1: forwards signals, reaps; what follows is its child"


class Exec(NamedTuple):
    """close_range(2) of all but 0-2, then execve(2)."""

    path: str
    arguments: tuple[str, ...]
    environment: tuple[str, ...]

    def describe(self) -> str:
        return f"exec {self.path} {' '.join(map(repr, self.arguments[1:]))}".rstrip()


Operation = (
    Open | FsOpen | FsFlag | FsString | FsPath | FsHandle | FsMount | LegacyOverlay | Tree | Subtree | OpenIn
    | SetMount | Attach | Mount
    | Propagation | AttachRoot | Pivot | Mkdir | Mknod | Symlink | Write | Mask | ReadOnly | CgroupMake | CgroupInherit
    | CgroupWrite | CgroupTasks | CgroupEnter | CgroupDevices | Pidfd | Join | Unshare | Clone | IdMap
    | Supervise | StdioOwner | Timeout | LogAttributes | TreeIn | Stdio | Console | Session | Loopback | Hostname
    | Domainname | Rlimit | Bounding | User | Init | Capabilities | NoNewPrivileges
    | Seccomp | Umask | Chdir | Exec
)  # fmt: skip

RLIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip
INFINITY = 0xFFFFFFFFFFFFFFFF
O_WRONLY = 0o1
O_PATH = 0o10000000
O_DIRECTORY = os.O_DIRECTORY


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


def _limit(value: int) -> str:
    return "unlimited" if value == INFINITY else str(value)
