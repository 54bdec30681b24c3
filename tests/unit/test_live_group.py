"""What a change of limits writes to the group of a container that runs."""

from typing import Any

import pytest

import planned
from wardian.runtime import freezer_directory, limit_writes

GROUP = "wardian/c1"
MEMORY, SWAP = (f"/sys/fs/cgroup/memory/{GROUP}/memory.{name}limit_in_bytes" for name in ("", "memsw."))


def written(before: dict[str, Any], after: dict[str, Any], host: Any = planned.HOST) -> list[tuple[str, str]]:
    return [(one.path, one.value) for one in limit_writes(host, GROUP, before, after)]


def memory(limit: int, swap: int) -> dict[str, Any]:
    return {"memory": {"limit": limit, "swap": swap}}


@pytest.mark.parametrize(
    ("before", "after", "order"),
    [
        (memory(10, 20), memory(30, 40), [(SWAP, "40"), (MEMORY, "30")]),
        (memory(30, 40), memory(10, 20), [(MEMORY, "10"), (SWAP, "20")]),
        (memory(10, 20), memory(15, 40), [(MEMORY, "15"), (SWAP, "40")]),
        (memory(10, 20), memory(30, -1), [(SWAP, "-1"), (MEMORY, "30")]),
        (memory(10, -1), memory(30, -1), [(MEMORY, "30")]),
        ({}, memory(30, 40), [(MEMORY, "30"), (SWAP, "40")]),
        (memory(10, 20), memory(10, 20), []),
    ],
)
def test_memory_never_goes_above_memory_and_swap(before: Any, after: Any, order: list[tuple[str, str]]) -> None:
    assert written(before, after) == order


def test_only_what_changes_is_written() -> None:
    before = {"cpu": {"shares": 512, "cpus": "0"}, "pids": {"limit": 5}}
    after = {"cpu": {"shares": 256, "cpus": "0"}, "pids": {"limit": -1}}
    assert written(before, after) == [
        (f"/sys/fs/cgroup/cpu,cpuacct/{GROUP}/cpu.shares", "256"),
        (f"/sys/fs/cgroup/pids/{GROUP}/pids.max", "max"),
    ]


def test_version_2_has_its_own_files() -> None:
    group = f"/sys/fs/cgroup/{GROUP}"
    before, after = memory(10, 20), memory(15, 40) | {"cpu": {"quota": 5000, "period": 10000}}
    assert written(before, after, planned.V2_HOST) == [
        (f"{group}/memory.max", "15"),
        (f"{group}/memory.swap.max", "25"),
        (f"{group}/cpu.max", "5000 10000"),
    ]


def test_device_rules_are_not_limits() -> None:
    devices = planned.HOST._replace(cgroup_mounts=(("devices", "/sys/fs/cgroup/devices"),))
    assert not written({}, {"devices": [{"allow": True, "access": "rwm"}]}, devices)


def test_the_freezer_is_version_1_s_where_there_is_one() -> None:
    v1 = planned.HOST._replace(cgroup_mounts=(("freezer", "/sys/fs/cgroup/freezer"),))
    assert freezer_directory(v1, GROUP) == f"/sys/fs/cgroup/freezer/{GROUP}"
    assert freezer_directory(planned.HOST, GROUP) == f"/sys/fs/cgroup/unified/{GROUP}"
    assert freezer_directory(planned.V2_HOST, GROUP) == f"/sys/fs/cgroup/{GROUP}"
