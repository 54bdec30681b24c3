"""What a run that was killed left on this machine: engines, containers, groups, links, rules, all found by its tag.

A run that starts engines has a tag, random and part of the name of all that they make on the machine. `own` claims it
for as long as the process lives, by a lock on a file (flock(2)): groups and processes are seen from every network
namespace, so the claim must be too, as an abstract socket would not be. `sweep` removes what carries a tag whose owner
is gone; nothing else on the machine is looked at.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
_CLAIM = os.path.join(tempfile.gettempdir(), "wardian-run-")
_owned: dict[str, int] = {}


class Family(NamedTuple):
    """How the runs of one kind name what they make. `tag` is a regular expression whose group 1 is the tag."""

    groups: str
    links: str
    homes: str
    tag: str


TESTS = Family("wardian-test/", "wt", "", r"([0-9a-f]{6})-?\d+")
BENCH = Family("wardian-bench-", "wb", "wardian-bench-", r"([0-9a-f]{8})")
DEMO = Family("wardian-demo-", "wd", "wardian-demo-", r"([0-9a-f]{8})")


def own(tag: str) -> None:
    """Claim a tag until this process ends. Raises BlockingIOError when somebody has it."""
    path = _CLAIM + tag
    while True:
        claim = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(claim), os.stat(path)):
                    _owned[tag] = claim
                    return
        except BaseException:
            os.close(claim)
            raise
        os.close(claim)  # its last owner took the file away meanwhile


def disown(tag: str) -> None:
    os.unlink(_CLAIM + tag)
    os.close(_owned.pop(tag))


def sweep(family: Family) -> list[str]:
    """Removes what dead runs left; returns their tags."""
    dead, left = [], _tags(family)
    for tag in sorted(left | _claimed()):
        try:
            own(tag)
        except BlockingIOError:
            continue  # its owner lives
        if tag in left:
            remove(family, tag)
            dead.append(tag)
        disown(tag)
    return dead


def remove(family: Family, tag: str) -> None:
    """Removes what a run left: first the processes, then what they held."""
    deadline = time.monotonic() + 10
    while (processes := _processes(family, tag)) and time.monotonic() < deadline:
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for group in _groups(family, tag):
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
    for link in _named(_links(), family.links, family, tag):
        _run("ip", "link", "delete", link)
    _remove_rules(family, tag)
    for home in _homes(family, tag):
        shutil.rmtree(home, ignore_errors=True)


def _tags(family: Family) -> set[str]:
    names = [
        *(group.removeprefix(mount + "/" + family.groups) for mount, group in _all_groups(family)),
        *(link.removeprefix(family.links) for link in _links() if link.startswith(family.links)),
        *(table.removeprefix("wardian-" + family.links) for table in _tables()),
        *(bridge.removeprefix(family.links) for *_, bridge in _marked_rules() if bridge.startswith(family.links)),
        *(os.path.basename(home).removeprefix(family.homes) for home in _homes(family, "")),
    ]
    return {found[1] for name in names if (found := re.fullmatch(family.tag, name))}


def _claimed() -> set[str]:
    """Tags with a claim's file, whose owner may be gone."""
    directory, _, start = _CLAIM.rpartition("/")
    return {name.removeprefix(start) for name in os.listdir(directory) if name.startswith(start)}


def _named(names: list[str], prefix: str, family: Family, tag: str) -> list[str]:
    """Those names that are prefix and this tag."""
    found = []
    for name in names:
        match = re.fullmatch(family.tag, name.removeprefix(prefix)) if name.startswith(prefix) else None
        if match and match[1] == tag:
            found.append(name)
    return found


def _all_groups(family: Family) -> Iterator[tuple[str, str]]:
    """(mount, directory) of every group of the family."""
    with open("/proc/self/mounts") as file:
        mounts = [fields[1] for fields in map(str.split, file) if fields[2] in ("cgroup", "cgroup2")]
    parent, _, start = family.groups.rpartition("/")
    for mount in mounts:
        with contextlib.suppress(OSError), os.scandir(os.path.join(mount, parent)) as entries:
            yield from ((mount, os.path.join(mount, parent, one.name)) for one in entries if one.name.startswith(start))


def _groups(family: Family, tag: str) -> list[str]:
    return [group for mount, group in _all_groups(family) if _named([group], mount + "/" + family.groups, family, tag)]


def _processes(family: Family, tag: str) -> set[int]:
    """Engines by the group on their command line; whatever is in their groups."""
    found = set()
    for group in _groups(family, tag):
        with contextlib.suppress(OSError), open(os.path.join(group, "freezer.state"), "w") as file:
            file.write("THAWED")  # a frozen process does not die
        for directory, _, _ in os.walk(group):
            with contextlib.suppress(OSError), open(os.path.join(directory, "cgroup.procs")) as file:
                found |= set(map(int, file.read().split()))
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            words = file.read().decode("utf-8", "replace").split("\0")
            if "wardian.server" in words and any(_named([word], family.groups, family, tag) for word in words):
                found.add(int(name))
    return found - {0, os.getpid()}


def _tables() -> list[str]:
    return [line.split()[2] for line in _run("nft", "list", "tables", "inet").splitlines()]


def _remove_rules(family: Family, tag: str) -> None:
    """Its own tables; and its rules in other firewalls' chains, which drop what only our table allows."""
    for table in _tables():
        if _named([table], "wardian-" + family.links, family, tag):
            _run("nft", "delete", "table", "inet", table)
    for chain, handle, bridge in _marked_rules():
        if _named([bridge], family.links, family, tag):
            _run("nft", "delete", "rule", *chain, "handle", handle)


def _marked_rules() -> Iterator[tuple[tuple[str, str, str], str, str]]:
    """(chain, handle, bridge) of the rules that engines have put into others' chains: each has a comment that names the
    engine's bridge (network/firewall/foreign.py)."""
    family = table = chain = ""
    for line in map(str.strip, _run("nft", "-a", "list", "ruleset").splitlines()):
        words = line.split()
        if words[:1] == ["table"]:
            family, table = words[1:3]
        elif words[:1] == ["chain"]:
            chain = words[1]
        elif found := re.search(r'comment "wardian: ([^"]+)" # handle (\d+)$', line):
            yield (family, table, chain), found[2], found[1]


def _links() -> list[str]:
    return [name for _, name in socket.if_nameindex()]  # of this network namespace; /sys may show another's


def _homes(family: Family, tag: str) -> list[str]:
    """Directories that are ours: /tmp is everybody's, and a name in it says nothing about who made it."""
    if not family.homes:
        return []
    with os.scandir(tempfile.gettempdir()) as entries:
        return [
            one.path for one in entries
            if one.name.startswith(family.homes) and (not tag or one.name == family.homes + tag)
            and one.is_dir(follow_symlinks=False) and one.stat(follow_symlinks=False).st_uid == os.geteuid()
        ]  # fmt: skip


def _run(*command: str) -> str:
    """Output; "" for what fails: a thing that went by itself meanwhile, a chain or a program that is not here."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, env={"PATH": _PATH}).stdout
    except FileNotFoundError:
        return ""
