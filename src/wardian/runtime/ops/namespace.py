"""Operations that make namespaces, enter them and set what belongs to one (launcher/ops_namespace.c, clone.c)."""

from typing import NamedTuple

from wardian.kernel import namespaces


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


Operation = Pidfd | Join | Unshare | Clone | IdMap | Loopback | Hostname | Domainname
