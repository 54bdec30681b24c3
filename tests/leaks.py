"""What of ours is on this machine: a snapshot before the tests, another after them, and what the second has more.

It judges only what is plausibly ours, because a dockerd, other test runs and the machine's own services live beside
us: names that hold our words, processes that descend from this run (they inherit MARK in their environment) or are
launchers, the groups and namespaces of such processes, and the descriptors of this very process. When another pytest
or somebody's engine runs here, even a launcher may be theirs, and only what carries this run's names is judged. Where
several processes share the tests, the first of them judges all; of its descriptors each says itself what is left.
A run's claim on its names (tools/leftovers.py) is none of what it judges: it is held until all has been judged.
"""

import gc
import glob
import os
import re
import subprocess
import time
from typing import NamedTuple

import homes
from wardian.kernel import nftables

MARK = "WARDIAN_TEST_RUN"
PEERS = re.compile(r"/wardian-(peers|newest)\b|/docker[/-]|/containerd/|\bdocker\b|libpod")
PEER_LINK = re.compile(r"wpeer0|docker\d+|br-[0-9a-f]{12}|veth[0-9a-f]{7}")
OUR_FILES = (
    "/run/wardian*", "/run/wardian*/*", "/run/wardian*/containers/*", "/var/lib/wardian*", "/var/lib/wardian*/*",
    "/run/netns/*", "/dev/shm/*", "/tmp/wardian*",
)  # fmt: skip
CLAIM = re.compile(r"/tmp/wardian-run-")


class Process(NamedTuple):
    pid: int
    start: str  # field 22 of stat: with the pid it names a process for ever (proc_pid_stat(5))
    parent: int
    text: str
    marked: bool
    launcher: bool
    groups: frozenset[str]
    namespaces: frozenset[str]


class Snapshot(NamedTuple):
    processes: frozenset[Process]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    firewall: frozenset[str]
    descriptors: frozenset[str]
    files: frozenset[str]


def take() -> Snapshot:
    processes = _processes()
    return Snapshot(
        processes=processes,
        namespaces=frozenset().union(*(p.namespaces for p in processes)),
        mounts=_mounts(),
        cgroups=frozenset(d for mount in homes.cgroup_mounts() for d, _, _ in os.walk(mount)),
        links=frozenset(os.listdir("/sys/class/net")),
        firewall=_firewall(),
        descriptors=descriptors(),
        files=frozenset(path for pattern in OUR_FILES for path in glob.glob(pattern) if not CLAIM.match(path)),
    )


def wait_until_clean(before: Snapshot, basetemp: str, seconds: float = 2.0) -> list[str]:
    """What is left after at most `seconds`: a namespace, with it a link, goes about 40 ms after its last process."""
    deadline = time.monotonic() + seconds
    while True:
        gc.collect()  # a socket in a reference cycle is not a leak
        left = compare(before, take(), basetemp)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def descriptors_left(before: Snapshot, seconds: float = 2.0) -> list[str]:
    """Of a process that shared the tests, after at most `seconds`: a thread that nobody waits for may have some."""
    deadline = time.monotonic() + seconds
    while True:
        gc.collect()
        left = [f"descriptor {line}" for line in sorted(descriptors() - before.descriptors)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def compare(before: Snapshot, now: Snapshot, basetemp: str) -> list[str]:
    """One line for each thing that `now` has, `before` had not, and that is plausibly of this run."""
    alone = not (homes.PART or _other_runs(before.processes) or _other_runs(now.processes))

    def named(text: str) -> bool:
        return any(run in text for run in homes.runs())

    def ours(text: str) -> bool:
        return named(text) or basetemp in text or (alone and "wardian" in text and not PEERS.search(text))

    old = {(p.pid, p.start) for p in before.processes}
    fresh_groups = {group for group in now.cgroups - before.cgroups if ours(group)}
    processes = [
        p for p in now.processes
        if (p.pid, p.start) not in old and p.pid != os.getpid()
        and (p.marked or (alone and p.launcher) or any(_is_in(p, group) for group in fresh_groups))
    ]  # fmt: skip
    held = {ns: p.pid for p in processes for ns in p.namespaces if ns not in before.namespaces}
    mounts = {m for m in now.mounts - before.mounts if ours(m)}
    links = {
        link for link in now.links - before.links
        if named(link) or (alone and not PEER_LINK.fullmatch(link))
    }  # fmt: skip
    firewall = {line for line in now.firewall - before.firewall if ours(line) or (alone and '"wt' in line)}
    files = {path for path in now.files - before.files if alone or ours(path)} | _homes_left(basetemp)
    return [
        *(f"process {p.pid}: {p.text}" for p in processes),
        *(f"namespace {ns} of process {pid}" for ns, pid in sorted(held.items())),
        *(f"mount {m}" for m in sorted(mounts)),
        *(f"cgroup {group}" for group in sorted(fresh_groups)),
        *(f"link {link}" for link in sorted(links)),
        *(f"firewall {line}" for line in sorted(firewall)),
        *(f"descriptor {line}" for line in sorted(now.descriptors - before.descriptors) if not homes.PARTS),
        *(f"file {path}" for path in sorted(files)),
    ]


def _is_in(process: Process, directory: str) -> bool:
    return any(group != "/" and directory.endswith(group) for group in process.groups)


def _other_runs(processes: frozenset[Process]) -> bool:
    """Does another pytest, or an engine of somebody's, run beside this one (neither below nor above it)?"""
    parents = {p.pid: p.parent for p in processes}
    above, pid = {os.getpid()}, os.getpid()
    while pid := parents.get(pid, 0):
        above.add(pid)
    names = ("pytest", "wardian.server")
    return any(name in p.text and not p.marked and p.pid not in above for p in processes for name in names)


def _processes() -> frozenset[Process]:
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                process = _process(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            if process:
                found.add(process)
    return frozenset(found)


def _process(pid: int) -> Process | None:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    if fields[0] == "Z" or fields[1] == "2":
        return None  # a zombie holds nothing and is its parent's to reap; a kernel thread is nobody's
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read().replace(b"\0", b" ").decode(errors="replace")[:150]
        with open(f"/proc/{pid}/cgroup") as file:
            groups = frozenset(line.strip().split(":", 2)[2] for line in file)
        launcher = text.startswith("wardian-launcher ")
        namespaces = frozenset(os.readlink(f"/proc/{pid}/ns/{n}") for n in os.listdir(f"/proc/{pid}/ns"))
    except PermissionError:
        return None  # not root: only what is ours can be read, and only that is judged
    marked = any(f"{MARK}={run}".encode() in environment for run in homes.runs())
    return Process(pid, fields[19], int(fields[1]), text, marked, launcher, groups, namespaces)


def _mounts() -> frozenset[str]:
    """Every mount of every mount namespace that has a process, as "type source on point (namespace)"."""
    seen: dict[str, str] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            namespace = os.readlink(f"/proc/{name}/ns/mnt")
            if namespace not in seen:
                with open(f"/proc/{name}/mountinfo") as file:
                    seen[namespace] = file.read()
        except OSError:
            continue
    found = set()
    for namespace, table in seen.items():
        for line in table.splitlines():
            left, _, right = line.partition(" - ")
            fields, (fstype, source, options) = left.split(), right.split(" ", 2)
            found.add(f"{fstype} {source} {fields[3]} on {fields[4]} {options} ({namespace})")
    return frozenset(found)


def _firewall() -> frozenset[str]:
    """Tables, and every line of every rule set: a rule of ours may stand in a chain of Docker's."""
    if os.geteuid() != 0:
        return frozenset()
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, env={"PATH": path})
    except FileNotFoundError:
        return frozenset()
    # Counters count on, so they are no part of a rule's identity.
    return frozenset(re.sub(r"packets \d+ bytes \d+", "", line.strip()) for line in done.stdout.splitlines())


def descriptors() -> frozenset[str]:
    found = set()
    kept = {str(one) for one in nftables.reserved_descriptors()}
    for name in set(os.listdir("/proc/self/fd")) - {"0", "1", "2"} - kept:  # pytest redirects the first three
        try:
            found.add(f"{name} -> {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue  # the listing's own descriptor
    return frozenset(found)


def _homes_left(basetemp: str) -> set[str]:
    """Directories of containers in the homes that `new_home` made; an engine's home may stay, a container in it not."""
    return {
        path
        for root in ("data", "run")
        for part in ("", "popen-*")  # of each process that shares the tests
        for path in glob.glob(os.path.join(basetemp, part, "h[0-9]*", root, "containers", "*"))
    }
