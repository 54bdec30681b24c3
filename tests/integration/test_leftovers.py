"""What a killed run left goes with the next one; what a living run has stays."""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest

import homes
import leftovers
from own_host import own_host

FAMILY = leftovers.Family("wardian-test/left-", "wl", "", r"([0-9a-f]{6})")


@pytest.fixture
def tag() -> Iterator[str]:
    """A group with a process in it on every hierarchy and a link, on a host of the test's own, that carry a tag."""
    tag = secrets.token_hex(3)
    with own_host(), contextlib.ExitStack() as cleanup:
        process = cleanup.enter_context(subprocess.Popen(["sleep", "600"]))
        cleanup.callback(process.kill)
        cleanup.callback(leftovers.remove, FAMILY, tag)
        for mount in homes.cgroup_mounts():
            group = os.path.join(mount, "wardian-test", f"left-{tag}", "containers")
            os.makedirs(group, exist_ok=True)  # a peer may show the same hierarchy once more
            with contextlib.suppress(OSError), open(os.path.join(group, "cgroup.procs"), "w") as file:
                file.write(str(process.pid))  # a cpuset of version 1 takes nobody before it has its cpus
        subprocess.run(["ip", "link", "add", f"wl{tag}", "type", "bridge"], check=True)
        yield tag


def _left(tag: str) -> list[str]:
    groups = [os.path.join(mount, "wardian-test", f"left-{tag}") for mount in homes.cgroup_mounts()]
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    return [*filter(os.path.exists, groups), *(line for line in links.splitlines() if f"wl{tag}" in line)]


def test_a_living_run_keeps_what_it_has(tag: str) -> None:
    leftovers.own(tag)
    before = _left(tag)
    assert len(before) > 1
    assert tag not in leftovers.sweep(FAMILY)
    assert _left(tag) == before
    leftovers.disown(tag)


def test_what_a_dead_run_left_is_removed(tag: str) -> None:
    assert _left(tag)
    assert tag in leftovers.sweep(FAMILY)
    assert _left(tag) == []
