"""What runs inside the machine: containers on a pure cgroup v2 host with Linux 6.1. test_cgroup2.py boots it."""

import os
import signal
import time
from typing import Any

import pytest

from benches import Bench
from wardian.runtime import HostFacts, probe_host
from wardian.runtime.exitrecord import read_exit

ROOT = "/sys/fs/cgroup"
MEBI = 1 << 20


@pytest.fixture(scope="module")
def host() -> HostFacts:
    return probe_host()


def group(bench: Bench, identity: str) -> str:
    """The container's group, as the kernel tells it of the first process."""
    with open(f"/proc/{bench.state(identity)['Pid']}/cgroup") as file:
        (line,) = file.read().splitlines()
    return ROOT + line.removeprefix("0::")


def read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def gone(path: str) -> bool:
    end = time.monotonic() + 10
    while os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.02)
    return not os.path.exists(path)


def running(bench: Bench, **host: Any) -> tuple[str, str]:
    identity = bench.start("sleep", "1000", **host)
    return identity, group(bench, identity)


def steps(bench: Bench, identity: str) -> list[str]:
    """What the start did, a line a step."""
    return [step["Description"] for step in bench.engine.containers.explain(identity)["Steps"]]


def test_the_host_is_pure_version_2_and_old(host: HostFacts) -> None:
    assert (host.cgroup_layout, host.cgroup2, host.cgroup_mounts) == ("v2", ROOT, ())
    assert host.kernel < (6, 5)
    assert {"cpu", "memory", "pids"} <= set(host.cgroup2_controllers)


def test_the_root_is_made_the_old_way(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "echo kept > /file && cat /file && grep ' / ' /proc/mounts")
    assert bench.finish(identity) == 0
    assert "kept" in bench.output(identity) and "overlay" in bench.output(identity)
    assert not [step for step in steps(bench, identity) if "lowerdir+" in step]


def test_the_child_is_cloned_into_its_group(bench: Bench) -> None:
    """CLONE_INTO_CGROUP: after the clone nothing enters a group, and the child is in its own."""
    identity, path = running(bench)
    done = steps(bench, identity)
    (clone,) = (number for number, step in enumerate(done) if step.startswith("clone "))
    assert done[clone].endswith("in group unified")
    assert not [step for step in done[clone:] if step.startswith("enter ")]
    assert path == f"{ROOT}/{bench.home.cgroup_base}/containers/{identity}"


def test_limits_are_written_and_the_group_goes(bench: Bench) -> None:
    wanted = {"Memory": 64 * MEBI, "NanoCpus": 500_000_000, "PidsLimit": 20, "CpuShares": 512}
    identity, path = running(bench, **wanted)
    assert identity in path
    assert read(f"{path}/memory.max") == str(64 * MEBI)
    assert read(f"{path}/cpu.max") == "50000 100000"
    assert read(f"{path}/pids.max") == "20"
    assert read(f"{path}/cpu.weight") == "20"
    assert str(bench.state(identity)["Pid"]) in read(f"{path}/cgroup.procs").split()
    bench.run(bench.engine.containers.kill(identity, "KILL"))
    assert bench.finish(identity) == 137
    assert gone(path)


def test_out_of_memory_is_137_and_said(bench: Bench) -> None:
    fill = "tail /dev/zero"
    identity = bench.start("sh", "-c", f"exec {fill}", Memory=16 * MEBI, MemorySwap=16 * MEBI)
    assert bench.finish(identity) == 137
    assert bench.state(identity)["OOMKilled"] is True
    record = read_exit(bench.home.run_container(identity))
    assert record is not None and record.oom_count == 1 and "tail" in record.oom_victim
    assert record.cpu_ns > 0


def test_peak_memory_is_on_record(bench: Bench) -> None:
    """20 MB of a tmpfs count as the container's."""
    identity = bench.start("sh", "-c", "dd if=/dev/zero of=/dev/shm/file bs=1M count=20", Memory=64 * MEBI)
    assert bench.finish(identity) == 0
    record = read_exit(bench.home.run_container(identity))
    assert record is not None and 20 * MEBI <= record.peak_memory <= 64 * MEBI


def test_a_child_out_of_memory_is_said_too(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "tail /dev/zero; exit 3", Memory=16 * MEBI, MemorySwap=16 * MEBI)
    assert bench.finish(identity) == 3
    assert bench.state(identity)["OOMKilled"] is True


def test_pids_are_limited(bench: Bench) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 3 & done; wait"
    identity = bench.start("sh", "-c", script, PidsLimit=5)
    bench.finish(identity)
    assert "fork" in bench.output(identity)


def test_the_device_program_denies_a_node(bench: Bench) -> None:
    """1:11 is the kernel's log: making a node is allowed, opening it is not."""
    script = "mknod /kmsg c 1 11 && echo made; cat /kmsg 2>&1 | head -1; head -c 1 /dev/zero | wc -c"
    identity = bench.start("sh", "-c", script)
    bench.finish(identity)
    said = bench.output(identity)
    assert "made" in said and "Operation not permitted" in said and said.split()[-1] == "1"


def test_what_stays_behind_in_the_group_goes_with_it(bench: Bench) -> None:
    """In the host's PID namespace nothing ends with the first process: the group is killed, and waited for."""
    identity, path = running(bench, PidMode="host")
    script = "i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done; sleep 0.2; exit 3"
    stray = bench.start("sh", "-c", script, PidMode="host")
    below = group(bench, stray)
    assert bench.finish(stray) == 3
    assert not os.path.exists(below), "the exit was told before the group was gone"
    assert os.path.exists(path) and bench.state(identity)["Running"]


def test_groups_that_the_container_made_go_too(bench: Bench) -> None:
    script = """mkdir -p /sys/fs/cgroup/a/b && echo 0 > /sys/fs/cgroup/a/b/cgroup.procs && cat /proc/self/cgroup
        sleep 1000 & exit 0"""
    identity = bench.start("sh", "-c", script, Privileged=True)
    path = f"{ROOT}/{bench.home.cgroup_base}/containers/{identity}"
    assert bench.finish(identity) == 0
    assert bench.output(identity) == "0::/a/b\n"
    assert not os.path.exists(path)


def test_a_lost_supervisor_takes_its_container_along(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "sleep 1000 & sleep 1000")
    path = group(bench, identity)
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/status") as file:
        (parent,) = (int(line.split()[1]) for line in file if line.startswith("PPid:"))
    os.kill(parent, signal.SIGKILL)
    assert bench.finish(identity) == 137
    assert "lost" in bench.state(identity)["Error"]
    assert gone(path) and not os.path.exists(f"/proc/{pid}")


def test_a_paused_container_stands_still_and_kill_ends_it(bench: Bench) -> None:
    identity, path = running(bench)
    bench.run(bench.engine.containers.pause(identity))
    assert "frozen 1" in read(f"{path}/cgroup.events") and bench.state(identity)["Status"] == "paused"
    bench.restart()
    assert bench.state(identity)["Status"] == "paused"
    bench.run(bench.engine.containers.unpause(identity))
    assert "frozen 0" in read(f"{path}/cgroup.events")
    bench.run(bench.engine.containers.pause(identity))
    bench.run(bench.engine.containers.kill(identity))
    assert bench.finish(identity) == 137 and gone(path)


def test_an_update_is_in_the_group_s_files(bench: Bench) -> None:
    identity, path = running(bench, Memory=64 * MEBI, PidsLimit=9)
    wanted = {"Memory": 96 * MEBI, "MemorySwap": 128 * MEBI, "CpuShares": 512, "NanoCpus": 500_000_000, "PidsLimit": -1}
    bench.run(bench.engine.containers.update(identity, wanted))
    assert read(f"{path}/memory.max") == str(96 * MEBI)
    assert read(f"{path}/memory.swap.max") == str(32 * MEBI)
    assert (read(f"{path}/cpu.max"), read(f"{path}/cpu.weight")) == ("50000 100000", "20")
    assert read(f"{path}/pids.max") == "max"


def test_throttles_of_a_device(bench: Bench) -> None:
    number = os.stat("/dev/vda").st_rdev
    device = [{"Path": "/dev/vda", "Rate": MEBI}]
    _, path = running(bench, BlkioDeviceReadBps=device, BlkioDeviceWriteIOps=[{"Path": "/dev/vda", "Rate": 30}])
    limits = read(f"{path}/io.max").split()
    assert limits[0] == f"{os.major(number)}:{os.minor(number)}"
    assert set(limits[1:]) == {f"rbps={MEBI}", "wbps=max", "riops=max", "wiops=30"}


def test_what_version_2_has_not_is_discarded_with_a_warning(bench: Bench, host: HostFacts) -> None:
    asked = {"OomKillDisable": True, "MemorySwappiness": 7, "NetworkMode": "none"}
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": asked}
    made = bench.run(bench.engine.containers.create(body))
    assert [words.rpartition(". ")[2] for words in made["Warnings"]] == [
        "Memory swappiness discarded.",
        "OomKillDisable discarded.",
    ]


def test_a_weight_is_in_the_group_or_discarded(bench: Bench, host: HostFacts) -> None:
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"BlkioWeight": 300, "NetworkMode": "none"}}
    made = bench.run(bench.engine.containers.create(body))
    if not made["Warnings"]:
        bench.run(bench.engine.containers.start(made["Id"]))
        path = group(bench, made["Id"])
        weights = [
            read(f"{path}/{name}") for name in ("io.bfq.weight", "io.weight") if os.path.exists(f"{path}/{name}")
        ]
        assert any("300" in text or "2930" in text for text in weights)


def test_a_group_of_the_user_s_has_the_limits(bench: Bench) -> None:
    identity, path = running(bench, CgroupParent=f"/{bench.home.cgroup_base}/mine", Memory=64 * MEBI)
    assert path == f"{ROOT}/{bench.home.cgroup_base}/mine/{identity}"
    assert read(f"{path}/memory.max") == str(64 * MEBI)
    bench.run(bench.engine.containers.kill(identity))
    assert gone(path)
    os.rmdir(os.path.dirname(path))


def test_device_rules_are_in_the_program(bench: Bench) -> None:
    script = "mknod /kmsg c 1 11; (: > /kmsg) && echo open || echo shut"
    assert bench.said("sh", "-c", script, DeviceCgroupRules=["c 1:* w"]).split()[-1] == "open"
    assert bench.said("sh", "-c", script, DeviceCgroupRules=["c 1:12 rwm"]).split()[-1] == "shut"


def test_an_init_and_a_timeout(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Init=True, fields={"Wardian": {"Timeout": 3}})
    with open(f"/proc/{bench.state(identity)['Pid']}/comm") as file:
        assert file.read() == "wardian-init\n"
    bench.run(bench.engine.containers.pause(identity))
    assert bench.finish(identity) == 137
    assert bench.state(identity)["Error"] == "timeout"


def test_shared_memory_is_joined(bench: Bench) -> None:
    """Before Linux 6.15 a mount of another namespace cannot be cloned from outside."""
    donor = bench.start("sh", "-c", "echo first > /dev/shm/a; sleep 1000", IpcMode="shareable")
    script = "while [ ! -e /dev/shm/a ]; do sleep 0.1; done; cat /dev/shm/a"
    assert bench.said("sh", "-c", script, IpcMode=f"container:{donor}") == "first\n"


def test_what_a_container_uses(bench: Bench) -> None:
    """From version 2's files: what the kernel says of the group is what stats says."""
    identity, directory = running(bench, Memory=64 * MEBI, PidsLimit=20, NanoCpus=500_000_000)
    told = bench.run(bench.engine.stats.once(identity))
    assert told["pids_stats"] == {"current": 1, "limit": 20}
    assert told["memory_stats"]["limit"] == 64 * MEBI
    assert 0 < told["memory_stats"]["usage"] <= int(read(f"{directory}/memory.current")) + MEBI
    assert {"anon", "file", "inactive_file", "slab"} <= set(told["memory_stats"]["stats"])
    assert told["cpu_stats"]["cpu_usage"]["total_usage"] >= told["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert told["cpu_stats"]["system_cpu_usage"] > told["precpu_stats"]["system_cpu_usage"]
    assert told["cpu_stats"]["throttling_data"]["periods"] >= 0
    own = told["Wardian"]
    assert own["Memory"]["Used"] + own["Memory"]["PageCache"] == told["memory_stats"]["usage"]
    has_pressure = os.path.exists(f"{directory}/memory.pressure")
    assert (own["Pressure"] is not None) == has_pressure


def test_info_says_what_the_host_can_limit(bench: Bench) -> None:
    told = bench.engine.system.info()
    assert told["CgroupVersion"] == "2" and told["OomKillDisable"] is False
    assert told["MemoryLimit"] and told["CpuCfsQuota"] and told["CPUShares"] and told["PidsLimit"]
    assert "name=cgroupns" in told["SecurityOptions"]
