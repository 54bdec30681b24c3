"""Operations on the groups that a container is in (launcher/ops_cgroup.c)."""

from typing import NamedTuple


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


Operation = CgroupMake | CgroupInherit | CgroupWrite | CgroupTasks | CgroupEnter | CgroupDevices
