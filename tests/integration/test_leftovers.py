"""What a killed run left goes with the next one; what a living run has stays."""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest

import homes
import leftovers
from own_host import nft, own_host

FAMILY = leftovers.Family("wardian-test/left-", "wl", "", r"([0-9a-f]{6})")
_FAMILIES = ("ip", "ip6", "inet")
_RULE = "meta mark & 0x4000 == 0x4000 counter accept"  # as in network/firewall/foreign.py


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
        nft(commands="".join(f'{_chain(family)} {_RULE} comment "wardian: wl{tag}"\n' for family in _FAMILIES))
        yield tag


def _left(tag: str) -> list[str]:
    groups = [os.path.join(mount, "wardian-test", f"left-{tag}") for mount in homes.cgroup_mounts()]
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    rules = nft("list", "ruleset")
    return [*filter(os.path.exists, groups), *(line for line in (links + rules).splitlines() if f"wl{tag}" in line)]


def _chain(family: str) -> str:
    return f"""add table {family} filter
        add chain {family} filter FORWARD {{ type filter hook forward priority 0; policy drop; }}
        add rule {family} filter FORWARD"""


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


def test_a_rule_in_a_chain_of_others_is_enough_to_find_a_dead_run() -> None:
    tag = secrets.token_hex(3)
    with own_host():
        for family in _FAMILIES:
            nft(commands=f'{_chain(family)} {_RULE} comment "wardian: wl{tag}"\n')
            nft(commands=f'{_chain(family)} {_RULE} comment "wardian: wl{secrets.token_hex(4)}x"\n')
        assert tag in leftovers.sweep(FAMILY)
        assert _left(tag) == [] and nft("list", "ruleset").count("wardian: wl") == len(_FAMILIES)
