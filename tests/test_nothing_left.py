"""The last check: no process, namespace, mount, cgroup, link, firewall rule, descriptor or file of ours is left."""

import pytest

import homes
import leaks


@pytest.mark.last
def test_nothing_of_ours_is_left(
    snapshot_before: leaks.Snapshot, left_by_parts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    homes.remove_run_groups()
    left = left_by_parts + leaks.wait_until_clean(snapshot_before, str(tmp_path_factory.getbasetemp()))
    assert not left, "left behind:\n  " + "\n  ".join(left)
