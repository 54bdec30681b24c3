"""Limits that name devices or that only one version of control groups has, update of a container that runs, and what is
another container's or another group's: seen in the kernel's files."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import homes
import needs
from benches import Bench, refused
from wardian.engine.life import create
from wardian.errors import CONFLICT, INVALID, NOT_IMPLEMENTED
from wardian.runtime import V2, probe_host

HOST = probe_host(files=True)
MEBI = 1 << 20
pytestmark = pytest.mark.skipif(HOST.cgroup_layout == V2, reason="version 2's files are tests/vm's")


def group(bench: Bench, identity: str, controller: str) -> Path:
    parts = bench.engine._parts
    path = create.cgroup_of(parts, parts.registry.find(identity).config)
    (mount,) = (mount for names, mount in HOST.cgroup_mounts if controller in names.split(","))
    return Path(mount, path)


def value(bench: Bench, identity: str, file: str) -> str:
    return (group(bench, identity, file.partition(".")[0]) / file).read_text().strip()


def block_device() -> str:
    """A whole disk of this host: a throttle of a partition is refused."""
    for name in sorted(os.listdir("/sys/block")):
        if os.path.exists(f"/dev/{name}"):
            return f"/dev/{name}"
    needs.missing("no block device")
    raise AssertionError


def warnings(bench: Bench, **host: Any) -> list[str]:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"} | host}
    return bench.run(bench.engine.containers.create(body))["Warnings"] or []  # type: ignore[no-any-return]


def test_throttles(bench: Bench) -> None:
    path = block_device()
    number = os.stat(path).st_rdev
    device = f"{os.major(number)}:{os.minor(number)}"
    rows = {
        "BlkioDeviceReadBps": (MEBI, "read_bps"),
        "BlkioDeviceWriteBps": (2 * MEBI, "write_bps"),
        "BlkioDeviceReadIOps": (30, "read_iops"),
        "BlkioDeviceWriteIOps": (40, "write_iops"),
    }
    host = {name: [{"Path": path, "Rate": rate}] for name, (rate, _) in rows.items()}
    identity = bench.start("sleep", "1000", **host)
    for rate, file in rows.values():
        assert value(bench, identity, f"blkio.throttle.{file}_device") == f"{device} {rate}"
    shown = bench.engine.containers.inspect(identity)["HostConfig"]
    assert shown["BlkioDeviceReadIOps"] == [{"Path": path, "Rate": 30}]


def test_what_throttles_is_a_device(bench: Bench) -> None:
    said = refused(INVALID, lambda: warnings(bench, BlkioDeviceReadBps=[{"Path": "/dev/nope", "Rate": 1}]))
    assert said == "stat /dev/nope: no such file or directory"


def test_memory_s_own(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Memory=64 * MEBI, MemorySwappiness=0, OomKillDisable=True)
    assert value(bench, identity, "memory.swappiness") == "0"
    assert "oom_kill_disable 1" in value(bench, identity, "memory.oom_control")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"OomKillDisable": True}, "OOM killer is disabled for the container, but no memory limit is set"),
        ({"KernelMemory": 64 * MEBI}, "KernelMemory discarded"),
    ],
)
def test_what_is_warned_of(bench: Bench, host: dict[str, Any], words: str) -> None:
    (warning,) = warnings(bench, **host)
    assert words in warning


def test_a_weight_needs_a_scheduler_that_has_weights(bench: Bench) -> None:
    host = {"BlkioWeight": 300, "BlkioWeightDevice": [{"Path": block_device(), "Weight": 200}]}
    found = warnings(bench, **host)
    if HOST.group_files & {"blkio.weight", "blkio.bfq.weight"}:
        identity = bench.start("sleep", "1000", **host)
        assert "300" in value(bench, identity, "blkio.bfq.weight")
    else:
        assert found[0].startswith("Your kernel does not support Block I/O weight or the cgroup is not mounted.")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"MemorySwappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"DeviceCgroupRules": ["c 1:3"]}, "invalid device cgroup rule format: 'c 1:3'"),
        ({"CgroupParent": "../x"}, "none of them . or .."),
        ({"IOMaximumIOps": 3}, "Invalid QoS settings: Linux does not support Maximum IO Bandwidth or Maximum IO IOps"),
        ({"Isolation": "hyperv"}, "invalid isolation (hyperv): linux only supports 'default'"),
        ({"StorageOpt": {"x": "1"}}, "Unknown option x"),
    ],
)
def test_what_cannot_be_is_refused(bench: Bench, host: dict[str, Any], words: str) -> None:
    assert words in refused(INVALID, lambda: warnings(bench, **host))


def test_a_size_of_the_writable_layer_needs_quotas(bench: Bench) -> None:
    said = refused(NOT_IMPLEMENTED, lambda: warnings(bench, StorageOpt={"size": "1G"}))
    assert said == "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"


def test_device_rules(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", DeviceCgroupRules=["c 10:229 rw", "b 7:* r", "a 250:1 r"])
    listed = value(bench, identity, "devices.list").splitlines()
    assert {"c 10:229 rw", "b 7:* r", "c 250:1 r", "b 250:1 r"} <= set(listed)
    assert "a *:* rwm" not in listed


def test_a_rule_opens_a_device(bench: Bench) -> None:
    """1:11 is the kernel's log. The shell's own complaint is left out: two streams have no order between them."""
    script = "mknod /kmsg c 1 11; (: > /kmsg) 2>/dev/null && echo open || echo shut"
    assert bench.said("sh", "-c", script) == "shut\n"
    assert bench.said("sh", "-c", script, DeviceCgroupRules=["c 1:11 w"]) == "open\n"


def test_a_group_comes_with_the_processors_of_those_above(bench: Bench) -> None:
    """The groups above were empty before the first container: what is made in them from then on is not (cpusets(7))."""
    bench.start("sleep", "1000")
    above = group(bench, bench.start("sleep", "1000"), "cpuset").parent
    later = above / "later"
    later.mkdir()
    try:
        for file in ("cpuset.cpus", "cpuset.mems"):
            assert (later / file).read_text() == (above / file).read_text() != "\n"
    finally:
        later.rmdir()


def test_a_group_of_the_user_s(bench: Bench) -> None:
    parent = f"{bench.home.cgroup_base}/mine"
    identity = bench.start("sleep", "1000", CgroupParent=f"/{parent}", Memory=64 * MEBI)
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/cgroup") as file:
        assert f"memory:/{parent}/{identity}" in file.read()
    assert value(bench, identity, "memory.limit_in_bytes") == str(64 * MEBI)
    bench.run(bench.engine.containers.pause(identity))
    bench.run(bench.engine.containers.kill(identity))
    assert not group(bench, identity, "memory").exists()
    homes.remove_empty_groups(parent)


# --- update ---


def update(bench: Bench, identity: str, **body: Any) -> Any:
    return bench.run(bench.engine.containers.update(identity, body))["Warnings"]


def test_a_running_container_has_the_limits_at_once_and_after_a_restart(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Memory=32 * MEBI, PidsLimit=9)
    wanted = {"Memory": 96 * MEBI, "MemorySwap": 128 * MEBI, "CpuShares": 300, "NanoCpus": 500_000_000}
    assert update(bench, identity, **wanted, PidsLimit=50, CpusetCpus="0") is None
    for _ in range(2):
        assert value(bench, identity, "memory.limit_in_bytes") == str(96 * MEBI)
        assert value(bench, identity, "memory.memsw.limit_in_bytes") == str(128 * MEBI)
        assert value(bench, identity, "cpu.shares") == "300"
        assert value(bench, identity, "cpu.cfs_quota_us") == "50000"
        assert value(bench, identity, "pids.max") == "50"
        assert value(bench, identity, "cpuset.cpus") == "0"
        bench.restart()
        bench.run(bench.engine.containers.restart(identity, timeout=0))
    shown = bench.engine.containers.inspect(identity)["HostConfig"]
    assert (shown["Memory"], shown["MemorySwap"], shown["PidsLimit"]) == (96 * MEBI, 128 * MEBI, 50)


def test_both_of_memory_s_limits_up_and_down(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Memory=32 * MEBI, MemorySwap=32 * MEBI)
    for size in (256, 16, 64):
        update(bench, identity, Memory=size * MEBI, MemorySwap=size * MEBI)
        assert value(bench, identity, "memory.limit_in_bytes") == str(size * MEBI)
        assert value(bench, identity, "memory.memsw.limit_in_bytes") == str(size * MEBI)


def test_swap_stays_where_it_is(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Memory=64 * MEBI)
    update(bench, identity, Memory=32 * MEBI)
    assert value(bench, identity, "memory.memsw.limit_in_bytes") == str(128 * MEBI)
    assert bench.engine.containers.inspect(identity)["HostConfig"]["MemorySwap"] == 128 * MEBI


def test_no_limit_of_processes(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", PidsLimit=9)
    update(bench, identity, PidsLimit=-1)
    assert value(bench, identity, "pids.max") == "max"
    update(bench, identity, CpuShares=100, PidsLimit=None)
    assert value(bench, identity, "pids.max") == "max"


def test_one_that_does_not_run_has_them_when_it_starts(bench: Bench) -> None:
    identity = bench.create("sleep", "1000")
    update(bench, identity, CpuShares=77)
    bench.run(bench.engine.containers.start(identity))
    assert value(bench, identity, "cpu.shares") == "77"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"Memory": 512 * MEBI}, "Memory limit should be smaller than already set memoryswap limit, update the"),
        ({"MemorySwap": 7 * MEBI}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"CpuPeriod": 50000}, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"),
        ({"CpuQuota": 50000}, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"),
    ],
)
def test_what_contradicts_its_limits_is_refused(bench: Bench, body: dict[str, Any], words: str) -> None:
    identity = bench.start("sleep", "1000", Memory=64 * MEBI, MemorySwap=64 * MEBI, NanoCpus=1_000_000_000)
    said = refused(CONFLICT, lambda: update(bench, identity, **body))
    assert said.startswith(f"Cannot update container {identity}: {words}")


def test_what_the_kernel_refuses_is_taken_back(bench: Bench) -> None:
    """A memory limit below what it holds in a tmpfs, with no swap to push it to."""
    script = "dd if=/dev/zero of=/dev/shm/file bs=1M count=40 2>&1; echo full; sleep 1000"
    identity = bench.start("sh", "-c", script, Memory=96 * MEBI, MemorySwap=96 * MEBI)
    while "full" not in bench.output(identity):
        pass
    with pytest.raises(Exception, match="device or resource busy"):
        update(bench, identity, CpuShares=99, Memory=8 * MEBI, MemorySwap=8 * MEBI)
    assert value(bench, identity, "memory.limit_in_bytes") == str(96 * MEBI)
    assert value(bench, identity, "cpu.shares") == "1024"
    assert bench.engine.containers.inspect(identity)["HostConfig"]["Memory"] == 96 * MEBI


def test_a_field_that_an_update_cannot_change_is_refused(bench: Bench) -> None:
    identity = bench.create("true")
    assert "Devices" in refused(NOT_IMPLEMENTED, lambda: update(bench, identity, Devices=[{"PathOnHost": "/dev/null"}]))
    assert update(bench, identity, Devices=None, KernelMemory=0) is None


def test_a_field_that_an_update_leaves_as_it_was_is_said(bench: Bench) -> None:
    """Docker says nothing of it, and does nothing either."""
    identity = bench.create("true")
    assert update(bench, identity, MemorySwappiness=-1, OomKillDisable=False) is None
    fixed = {"MemorySwappiness": 10, "OomKillDisable": True}
    assert update(bench, identity, **fixed) == [
        f"An update does not change {name}. {name} discarded." for name in fixed
    ]
    assert "valid memory swappiness range is 0-100" in refused(
        INVALID, lambda: update(bench, identity, MemorySwappiness=500)
    )


# --- shared memory ---


def test_a_joined_ipc_namespace_shares_memory(bench: Bench) -> None:
    donor = bench.start("sh", "-c", "echo first > /dev/shm/a; sleep 1000", IpcMode="shareable", ShmSize=MEBI)
    script = "cat /dev/shm/a; echo second > /dev/shm/b; readlink /proc/self/ns/ipc; grep ' /dev/shm ' /proc/mounts"
    first, namespace, mount = bench.said("sh", "-c", script, IpcMode=f"container:{donor}").splitlines()
    pid = bench.state(donor)["Pid"]
    assert first == "first" and os.readlink(f"/proc/{pid}/ns/ipc") == namespace
    assert Path(f"/proc/{pid}/root/dev/shm/b").read_text() == "second\n"
    assert "size=1024k" in mount and "nosuid,nodev,noexec" in mount


def test_a_private_one_is_not_shared(bench: Bench) -> None:
    donor = bench.start("sleep", "1000")
    identity = bench.create("true", IpcMode=f"container:{donor}")
    assert "non-shareable IPC" in refused(INVALID, lambda: bench.run(bench.engine.containers.start(identity)))


def test_a_link_in_the_donor_leads_nowhere(bench: Bench) -> None:
    """A privileged donor may put a link where its shared memory was: it is not followed."""
    script = "umount /dev/shm && rmdir /dev/shm && ln -s / /dev/shm && echo done; sleep 1000"
    donor = bench.start("sh", "-c", script, IpcMode="shareable", Privileged=True)
    while "done" not in bench.output(donor):
        pass
    identity = bench.create("true", IpcMode=f"container:{donor}")
    with pytest.raises(Exception, match="copy the mount at /dev/shm"):
        bench.run(bench.engine.containers.start(identity))


def test_one_whose_group_went_before_its_end_was_heard_of(bench: Bench) -> None:
    """It ends in the middle of an update: it has the limits when it starts again."""
    identity = bench.start("sleep", "1000")
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/stat") as file:
        supervisor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGSTOP)  # who would tell the engine
    try:
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while (directory := group(bench, identity, "cpu")).exists():
            with contextlib.suppress(OSError):  # it is dying still
                directory.rmdir()
            assert time.monotonic() < end
        update(bench, identity, CpuShares=78)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert bench.finish(identity) == 137
    bench.run(bench.engine.containers.start(identity))
    assert value(bench, identity, "cpu.shares") == "78"
