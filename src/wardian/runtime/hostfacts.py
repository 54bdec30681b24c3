"""The facts of this host that a plan depends on, probed once: the planner itself asks the kernel nothing."""

import os
import platform
import re
import resource
from typing import NamedTuple

from wardian.kernel import capabilities, open_files, procfs

V1 = "v1"
V2 = "v2"
HYBRID = "hybrid"  # v1 controllers, and a v2 hierarchy beside them


class HostFacts(NamedTuple):
    """Kernel, cgroups, capabilities and limits that the process which launches was started with."""

    kernel: tuple[int, int]
    architecture: str  # as uname says: x86_64, aarch64
    cgroup_layout: str
    cgroup_mounts: tuple[tuple[str, str], ...]  # v1: controllers ("cpu,cpuacct", "name=systemd") → mount point
    cgroup2: str  # mount point of the v2 hierarchy, ""
    cgroup2_controllers: tuple[str, ...]
    bounding: int  # capability mask
    rlimits: tuple[tuple[int, int], ...]  # by resource number: soft, hard
    uid_map: tuple[tuple[int, int, int], ...]  # our own user namespace
    seccomp: bool
    apparmor: bool
    selinux: bool
    cpus: int
    devices: tuple[
        str, ...
    ]  # CPU directories with thermal_throttle, and other paths that Docker masks by what is there

    # of the files that not every kernel has, those that groups have here
    group_files: frozenset[str] = frozenset()
    own_group2: str = ""  # the group of the v2 hierarchy that we are in: "/", "/system.slice/wardian.service"
    in_root_of: frozenset[str] = (
        frozenset()
    )  # of v1's hierarchies, named as in cgroup_mounts: we are in no group of them

    def kernel_at_least(self, major: int, minor: int) -> bool:
        return self.kernel >= (major, minor)

    @property
    def open_files(self) -> tuple[int, int]:
        """What a container has that asks for no limit of open files: soft, hard."""
        return self.rlimits[resource.RLIMIT_NOFILE]

    @property
    def initial_user_namespace(self) -> bool:
        return self.uid_map == ((0, 0, 4294967295),)


def probe_host(*, files: bool = False) -> HostFacts:
    """Ask the kernel (about a millisecond). The caller keeps the answer. No plan depends on `group_files`: they are
    looked up only when `files` says so."""
    release = re.findall(r"\d+", platform.release())  # "6.1.0-49-amd64", "6.6+"
    layout, v1, v2 = _cgroups(procfs.mounts())
    status = procfs.status()
    return HostFacts(
        kernel=(int(release[0]), int(release[1])),
        architecture=platform.machine(),
        cgroup_layout=layout,
        cgroup_mounts=v1,
        cgroup2=v2,
        cgroup2_controllers=tuple(procfs.read(f"{v2}/cgroup.controllers").split()) if v2 else (),
        bounding=int(status["CapBnd"], 16) & capabilities.ALL,
        rlimits=tuple(_limits(number) for number in range(16)),
        uid_map=tuple(
            (int(row[0]), int(row[1]), int(row[2]))
            for row in map(str.split, procfs.read("/proc/self/uid_map").splitlines())
        ),
        seccomp="Seccomp" in status,
        apparmor=procfs.read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        cpus=os.cpu_count() or 1,
        devices=_thermal_throttles(),
        group_files=_group_files(v1, v2) if files else frozenset(),
        own_group2=procfs.group2(),
        in_root_of=frozenset(name for name, _ in v1 if procfs.group1(name) == "/"),
    )


def _limits(number: int) -> tuple[int, int]:
    soft, hard = open_files.given() if number == resource.RLIMIT_NOFILE else resource.getrlimit(number)
    return soft & 0xFFFFFFFFFFFFFFFF, hard & 0xFFFFFFFFFFFFFFFF


def _cgroups(mounts: "list[procfs.MountInfo]") -> tuple[str, tuple[tuple[str, str], ...], str]:
    v1: dict[str, str] = {}
    v2 = ""
    for mount in mounts:
        if mount.type == "cgroup2" and not v2:
            v2 = mount.target
        elif mount.type == "cgroup" and mount.root == "/":
            known = [
                option
                for option in mount.super_options.split(",")
                if option in V1_CONTROLLERS or option.startswith("name=")
            ]
            v1.setdefault(",".join(known), mount.target)
    layout = V2 if v2 and not v1 else HYBRID if v2 else V1
    return layout, tuple(v1.items()), v2


# by how the kernel was built, which version it is, and which I/O scheduler is there
_OPTIONAL_FILES = frozenset(
    "blkio.weight blkio.bfq.weight blkio.weight_device blkio.bfq.weight_device io.weight io.bfq.weight io.max "
    "memory.swappiness memory.oom_control memory.memsw.limit_in_bytes memory.kmem.tcp.limit_in_bytes "
    "memory.max memory.swap.max cpu.rt_runtime_us cpu.cfs_quota_us "
    "blkio.throttle.read_bps_device blkio.throttle.write_bps_device "
    "blkio.throttle.read_iops_device blkio.throttle.write_iops_device".split()
)


def _group_files(v1: tuple[tuple[str, str], ...], v2: str) -> frozenset[str]:
    """Version 2 has no limits in its root: there a group below tells, and what the controllers always bring."""
    directories = [mount for _, mount in v1]
    if v2 and not v1:
        directories += [entry.path for entry in os.scandir(v2) if entry.is_dir(follow_symlinks=False)]
    found = {name for directory in directories for name in _OPTIONAL_FILES.intersection(_names(directory))}
    if v2 and not v1 and "io" in procfs.read(f"{v2}/cgroup.controllers").split():
        found.add("io.max")
    return frozenset(found)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # it went meanwhile
        return []


V1_CONTROLLERS = frozenset(
    "cpuset cpu cpuacct blkio memory devices freezer net_cls perf_event net_prio hugetlb pids rdma misc".split()
)


def _thermal_throttles() -> tuple[str, ...]:
    base = "/sys/devices/system/cpu"
    names = sorted(name for name in os.listdir(base) if name.startswith("cpu") and name[3:].isdigit())
    return tuple(path for path in (f"{base}/{name}/thermal_throttle" for name in names) if os.path.isdir(path))
