"""Operations on the process itself: limits, ids, capabilities, filter, exec (launcher/ops_process.c, ops_init.c)."""

from typing import NamedTuple

from wardian.kernel import capabilities

RLIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip
INFINITY = 0xFFFFFFFFFFFFFFFF


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


Operation = Rlimit | Bounding | User | Capabilities | NoNewPrivileges | Seccomp | Umask | Chdir | Init | Exec


def _limit(value: int) -> str:
    return "unlimited" if value == INFINITY else str(value)
