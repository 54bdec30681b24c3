"""The leak check sees what it is for: one of each kind planted, seen, removed, and gone."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import homes
import leaks
import needs

NAME = f"wt{homes.RUN}x"


@contextmanager
def _cgroup() -> Iterator[None]:
    path = os.path.join(homes.cgroup_mounts()[0], homes.CGROUP_PARENT, f"{homes.RUN}-leak")
    os.makedirs(path)
    yield
    homes.remove_empty_groups(f"{homes.CGROUP_PARENT}/{homes.RUN}-leak")


@contextmanager
def _link() -> Iterator[None]:
    ip = needs.program("ip")
    subprocess.run([ip, "link", "add", NAME, "type", "bridge"], check=True)
    yield
    subprocess.run([ip, "link", "del", NAME], check=True)


@contextmanager
def _table() -> Iterator[None]:
    nft = needs.program("nft")
    subprocess.run([nft, "add", "table", "ip", NAME], check=True)
    yield
    subprocess.run([nft, "delete", "table", "ip", NAME], check=True)


@contextmanager
def _mount() -> Iterator[None]:
    point = f"/tmp/{NAME}"
    os.mkdir(point)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True)
    yield
    subprocess.run(["umount", point], check=True)
    os.rmdir(point)


@contextmanager
def _process() -> Iterator[None]:
    with subprocess.Popen(["unshare", "--uts", "sleep", "600"]) as process:
        yield
        process.kill()


@contextmanager
def _descriptor() -> Iterator[None]:
    fd = os.open("/etc/hostname", os.O_RDONLY)
    yield
    os.close(fd)


@pytest.mark.parametrize("plant", [_cgroup, _link, _table, _mount, _process, _descriptor])
def test_a_planted_leak_is_seen(plant: Callable[[], object], tmp_path_factory: pytest.TempPathFactory) -> None:
    basetemp = str(tmp_path_factory.getbasetemp())
    kind = plant.__name__.lstrip("_")
    before = leaks.take()
    with plant():  # type: ignore[attr-defined]
        seen = leaks.compare(before, leaks.take(), basetemp)
    expected = {"table": "firewall"}.get(kind, kind)
    assert [line for line in seen if line.startswith(expected)], seen
    left = [line for line in leaks.wait_until_clean(before, basetemp) if not line.startswith("link veth")]
    assert not left


def test_an_empty_group_of_another_run_stays() -> None:
    """It may be a container's that is being started: nobody is in its group yet."""
    base = os.path.join(homes.cgroup_mounts()[0], homes.CGROUP_PARENT)
    ours, theirs = os.path.join(base, f"{homes.RUN}-x/y"), os.path.join(base, f"not{homes.RUN}-x")
    for path in (ours, theirs):
        os.makedirs(path)
    homes.remove_run_groups()
    assert not os.path.exists(os.path.dirname(ours)) and os.path.exists(theirs)
    os.rmdir(theirs)
