"""What `info` says that a host can limit, and the warnings, in Docker's words, of one that cannot."""

from wardian.engine.observe.info import limit_warnings, limits
from wardian.runtime import HostFacts

V1 = HostFacts(
    kernel=(6, 1),
    architecture="x86_64",
    cgroup_layout="v1",
    cgroup_mounts=tuple(
        (name, f"/sys/fs/cgroup/{name}") for name in ("cpu,cpuacct", "cpuset", "memory", "pids", "blkio")
    ),
    cgroup2="",
    cgroup2_controllers=(),
    bounding=0,
    rlimits=(),
    uid_map=((0, 0, 4294967295),),
    seccomp=True,
    apparmor=False,
    selinux=False,
    cpus=2,
    devices=(),
    group_files=frozenset(
        "memory.memsw.limit_in_bytes memory.kmem.tcp.limit_in_bytes memory.oom_control cpu.cfs_quota_us "
        "blkio.throttle.read_bps_device blkio.throttle.write_bps_device blkio.throttle.read_iops_device "
        "blkio.throttle.write_iops_device".split()
    ),
)
V2 = V1._replace(
    cgroup_layout="v2",
    cgroup_mounts=(),
    cgroup2="/sys/fs/cgroup",
    cgroup2_controllers=("cpuset", "cpu", "io", "memory", "pids"),
    group_files=frozenset(("memory.max", "memory.swap.max", "io.max", "io.weight")),
)
ALL = ("MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit")


def test_hosts_that_can_all() -> None:
    for host, version in ((V1, "1"), (V2, "2")):
        can = limits(host)
        assert {name for name in ALL if can[name]} == set(ALL)
        assert can["CgroupVersion"] == version
        assert can["OomKillDisable"] is (version == "1")
        assert limit_warnings(can, host.group_files) == []


def test_no_swap_accounting() -> None:
    """A kernel booted with swapaccount=0."""
    for host, file in ((V1, "memory.memsw.limit_in_bytes"), (V2, "memory.swap.max")):
        without = host._replace(group_files=host.group_files - {file})
        can = limits(without)
        assert can["MemoryLimit"] and not can["SwapLimit"]
        assert limit_warnings(can, without.group_files) == ["WARNING: No swap limit support"]


def test_swap_of_version_2_when_no_group_has_the_controller_yet() -> None:
    assert limits(V2._replace(group_files=frozenset()))["SwapLimit"]


def test_controllers_that_are_missing() -> None:
    without = V2._replace(cgroup2_controllers=("memory",), group_files=frozenset(("memory.max", "memory.swap.max")))
    assert limit_warnings(limits(without), without.group_files) == [
        "WARNING: No cpu cfs quota support",
        "WARNING: No cpu cfs period support",
        "WARNING: No cpu shares support",
        "WARNING: No cpuset support",
        "WARNING: No pids limit support",
        "WARNING: No io.weight support",
        "WARNING: No io.weight (per device) support",
        "WARNING: No io.max (rbps) support",
        "WARNING: No io.max (wbps) support",
        "WARNING: No io.max (riops) support",
        "WARNING: No io.max (wiops) support",
    ]
    bare = V1._replace(cgroup_mounts=(), group_files=frozenset())
    said = limit_warnings(limits(bare), bare.group_files)
    assert "WARNING: No memory limit support" in said
    assert "WARNING: No blkio throttle.read_bps_device support" in said
    assert "WARNING: No oom kill disable support" not in said  # there is no memory controller at all
