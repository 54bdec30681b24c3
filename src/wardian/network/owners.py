"""Who has a port of the host: by sock_diag(7) its socket, by /proc/PID/fd the process, by proc(5) what that is."""

import contextlib
import ipaddress
import os
import re
import socket
from typing import NamedTuple

from wardian.kernel import procfs, sockdiag

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
_LONGEST = 80
_GROUP_OF_CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)", re.MULTILINE)
_RUN_DIRECTORY = re.compile(r"/containers/([0-9a-f]{64})$")


class Owner(NamedTuple):
    """A process that holds a port. `container` is the id of the container that it belongs to, or whose published ports
    it holds; "" for none. `ours`: it is the supervisor of a Wardian container."""

    pid: int
    command: str
    container: str = ""
    ours: bool = False

    def __str__(self) -> str:
        of = f", container {self.container[:12]}" if self.container else ""
        return f"process {self.pid} ({self.command}{of})"


def owner_of(protocol: str, host_ip: str, port: int) -> Owner | None:
    """Who stands in the way of a socket on `host_ip` and `port`, in the calling thread's network namespace; None when
    nobody is found: it has gone meanwhile, or it is a socket of the kernel's or of another /proc."""
    with contextlib.suppress(OSError):
        inodes = _inodes(protocol, host_ip, port)
        found = [owner for pid in _holders(inodes) if (owner := _describe(pid)) is not None]
        return next((owner for owner in found if owner.container), found[0] if found else None)
    return None


def _inodes(protocol: str, host_ip: str, port: int) -> set[int]:
    """Of the sockets in the way: listeners if there are any, for a connection does not keep a listener off."""
    families = (socket.AF_INET, socket.AF_INET6)
    every = [one for family in families for one in sockdiag.sockets_on(family, PROTOCOLS[protocol], port) if one.inode]
    near = [one for one in every if meet(one.address, host_ip)]
    listening = [one for one in near if one.state == sockdiag.TCP_LISTEN]
    return {one.inode for one in listening or near}


def meet(one: str, other: str) -> bool:
    """Whether two bound addresses exclude each other. A socket on :: may have IPv4 too (ipv6(7), IPV6_V6ONLY)."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    if first.version == second.version:
        return first == second or first.is_unspecified or second.is_unspecified
    return (first if first.version == 6 else second).is_unspecified


def _holders(inodes: set[int]) -> list[int]:
    names = {f"socket:[{inode}]" for inode in inodes}
    return [pid for pid in _processes() if names & set(_descriptors(pid))] if names else []


def _processes() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def _descriptors(pid: int) -> list[str]:
    """What a process has open. [] when it has ended."""
    targets = []
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                targets.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return targets


def _describe(pid: int) -> Owner | None:
    name = procfs.read(f"/proc/{pid}/comm").strip()
    if not name:
        return None
    words = procfs.read(f"/proc/{pid}/cmdline").replace("\0", " ").split()
    command = "".join(char if char.isprintable() else "?" for char in " ".join(words)) or name
    command = command if len(command) <= _LONGEST else command[: _LONGEST - 1] + "…"
    if name.startswith("wardian-launch") or name == "wardian-relay":
        return Owner(pid, command, _supervised(pid), ours=True)
    group = _GROUP_OF_CONTAINER.search(procfs.read(f"/proc/{pid}/cgroup"))
    return Owner(pid, command, group.group(1) if group else "", ours=pid == os.getpid())


def _supervised(pid: int) -> str:
    """A supervisor holds the run directory of its container: RUN_ROOT/containers/ID."""
    found = (_RUN_DIRECTORY.search(target) for target in _descriptors(pid))
    return next((match.group(1) for match in found if match), "")
