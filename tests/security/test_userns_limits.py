"""CVE-2025-47291: containers with a user namespace were put outside the cgroup whose limits were to hold for them."""

import os

import pytest

from benches import Bench
from security.test_userns_data_root import FIRST, shared_bench  # noqa: F401

LIMITED = {"PidsLimit": 20, "Memory": 64 << 20}


def test_it_is_in_its_group_in_every_hierarchy(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", **LIMITED)
    with open(f"/proc/{bench.state(identity)['Pid']}/cgroup") as file:
        rows = [line.rstrip("\n").split(":", 2) for line in file]
    assert rows and all(path.endswith(f"/containers/{identity}") for _, controllers, path in rows if controllers), rows
    assert os.stat(f"/proc/{bench.state(identity)['Pid']}").st_uid == FIRST


@pytest.mark.timeout(60)
def test_its_limit_holds(bench: Bench) -> None:
    script = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done 2>&1 | head -3; echo ended"
    identity = bench.start("sh", "-c", script, **LIMITED)
    bench.finish(identity)
    assert "can't fork" in bench.output(identity)


def test_its_root_raises_no_limit(bench: Bench) -> None:
    script = (
        "for f in /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do "
        "[ -e $f ] && (echo 100000 > $f) && echo raised $f; done; mkdir /sys/fs/cgroup/pids/x && echo made; echo ended"
    )
    said = bench.said("sh", "-c", script, **LIMITED)
    assert "ended" in said and "raised" not in said and "made" not in said


def test_nor_with_all_capabilities_over_its_namespace(bench: Bench) -> None:
    """Its own cgroup namespace and mount: the files behind it are still the host's root's."""
    script = (
        "mkdir /c; mount -t cgroup -o pids none /c || mount -t cgroup2 none /c || echo no mount; "
        "(echo 100000 > /c/pids.max) && echo raised; echo ended"
    )
    options = {"CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined"], "CgroupnsMode": "private"}
    said = bench.said("sh", "-c", script, **LIMITED, **options)
    assert "ended" in said and "raised" not in said
