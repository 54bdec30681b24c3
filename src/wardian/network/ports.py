"""Published ports: what is asked for, the host's sockets that reserve it, and where each leads.

    PortBindings, ExposedPorts ── parse_bindings ──► PortWant ── PortBook.book ──► HeldPort (a bound socket)
        HeldPort and the container's addresses ── leads ───────► PortRule, a row of the state
                                               ── rules ───────► those of them for the firewall's map
                                               ── publications ► Publication, for the container's supervisor

The supervisor holds each socket as long as its container runs. So the port has an owner that others collide with, even
while the engine is down, and what no rule can lead to the container (::1, or IPv6 to a container with IPv4 alone)
reaches it through that socket.
"""

import errno
import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from wardian.errors import INVALID, SYSTEM, WardianError
from wardian.kernel.netns import read_sysctl
from wardian.network.owners import PROTOCOLS, meet, owner_of
from wardian.network.values import HeldPort, PortRule, PortWant, parse_address
from wardian.runtime import Publication

ANY4, ANY6 = "0.0.0.0", "::"
LOOPBACK6 = "::1"
EPHEMERAL = (32768, 60999)  # where the kernel does not say
BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn


class Target(NamedTuple):
    """Where a sandbox's published ports lead: its addresses ("" for none), and the host's link for each family.

    `routed` are the families (4, 6) in which the container itself is reached: no port of the host's is taken, its own
    is opened (com.docker.network.bridge.gateway_mode_ipv4 and _ipv6).
    """

    ipv4: str = ""
    ipv6: str = ""
    link4: str = ""
    link6: str = ""
    routed: frozenset[int] = frozenset()


# ---- what is asked for ----


def parse_bindings(
    bindings: Mapping[str, Sequence[Mapping[str, str]] | None] | None,
    exposed: Collection[str] | None = None,
    publish_all: bool = False,
) -> tuple[PortWant, ...]:
    """`HostConfig.PortBindings`, `Config.ExposedPorts` and `HostConfig.PublishAllPorts` as wishes, by port's number.

    Published by `-P` is what is exposed and not bound already. Raises INVALID in Docker's words.
    """
    wants = []
    asked = {_parse_port(key): given for key, given in (bindings or {}).items()}
    for (port, protocol), given in asked.items():
        for binding in given or ({},):
            first, last = _parse_range(str(binding.get("HostPort") or ""))
            wants.append(PortWant(port, protocol, _parse_address(str(binding.get("HostIp") or "")), first, last))
    if publish_all:
        others = dict.fromkeys(_parse_port(key) for key in exposed or ())
        wants += [PortWant(port, protocol) for port, protocol in others if (port, protocol) not in asked]
    return tuple(sorted(wants, key=lambda want: (want.port, want.protocol)))


def _parse_port(key: str) -> tuple[int, str]:
    """ "80/tcp", "80": tcp unless it says another."""
    number, _, protocol = key.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise _invalid(f"invalid proto: {protocol}", key)
    if not 0 < _number(number) < 65536:
        raise _invalid(f'invalid port specification: "{number}"', key)
    return int(number), protocol


def _parse_range(text: str) -> tuple[int, int]:
    """HostPort: "" (any), "8080", or "8080-8090"."""
    first, dash, last = text.partition("-")
    if not text:
        return 0, 0
    low, high = _number(first), _number(last if dash else first)
    if not 0 <= low <= high < 65536 or (dash and not low):
        raise _invalid(f'invalid port specification: "{text}"', text)
    return low, high


def _parse_address(text: str) -> str:
    if not text:
        return ""
    try:
        return str(parse_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise _invalid(f"invalid IP address: {text}", text) from None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1


def _invalid(text: str, subject: str) -> WardianError:
    return WardianError(INVALID, text, operation="publish a port", subject=subject)


# ---- where it leads ----


def leads(held: Sequence[HeldPort], target: Target) -> tuple[PortRule, ...]:
    """Each held port and the container's address that it leads to, in order: of its own family, or of the other when
    the container has no such. This is what a row keeps of it."""
    found = []
    for port in held:
        four, six = (target.ipv4, target.link4), (target.ipv6, target.link6)
        same, other = (six, four) if ":" in port.host_ip else (four, six)
        address, link = same if same[0] else other
        found.append(PortRule(port.protocol, port.host_ip, port.host_port, address, port.port, link))
    return tuple(found)


def rules(leads: Sequence[PortRule]) -> tuple[PortRule, ...]:
    """Those that the firewall can lead there.

    Not from one family to the other, and not ::1: the kernel drops the answers to what was led away from there, so a
    client would wait for ever instead of reaching the socket.
    """
    return tuple(lead for lead in leads if (":" in lead.host_ip) == (":" in lead.address) and lead.host_ip != LOOPBACK6)


def publications(held: Sequence[HeldPort], target: Target) -> tuple[Publication, ...]:
    """What the supervisor holds, and relays there when it must."""
    return held_publications(held, leads(held, target))


def held_publications(held: Sequence[HeldPort], leads: Sequence[PortRule]) -> tuple[Publication, ...]:
    """Under the keys 0, 1 … in their order; what is routed takes no port of the host's."""
    pairs = enumerate(zip(held, leads, strict=True))
    return tuple(Publication(key, port.fd, to.address, to.port) for key, (port, to) in pairs if port.host_port)


def held_of(leads: Sequence[PortRule]) -> tuple[HeldPort, ...]:
    """The ports of rows: their sockets are with the supervisor."""
    return tuple(HeldPort(-1, lead.protocol, lead.host_ip, lead.host_port, lead.port) for lead in leads)


# ---- the sockets ----


class PortBook:
    """Takes ports of the host whose namespace the calling thread is in. Used by one thread at a time."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}  # where the search for a free port of a protocol goes on, as Docker's does

    def book(self, wants: Sequence[PortWant], target: Target, host_binding: str = "") -> tuple[HeldPort, ...]:
        """A bound socket for each wish and address, TCP's and SCTP's listening; all of them, or none and the error.

        A wish without an address is for every one of each family that `target` has or can be relayed to, or for
        `host_binding`. The number is the same for both families. Raises SYSTEM in Docker's words (as there, 500), with
        the port's owner for a hint.
        """
        families = [ip for ip, wanted in ((ANY4, bool(target.ipv4)), (ANY6, _host_has_ipv6())) if wanted]
        held: list[HeldPort] = []
        try:
            for want in wants:
                asked = want.host_ip or ("" if host_binding in (ANY4, ANY6) else host_binding)
                addresses = [asked] if asked else families
                held += (one for one in _routed(want, target, addresses) if one not in held)
                held += self._book(want, target, [one for one in addresses if _family(one) not in target.routed], held)
        except BaseException:
            close_ports(held)
            raise
        return tuple(held)

    def _book(
        self, want: PortWant, target: Target, addresses: Sequence[str], before: Sequence[HeldPort]
    ) -> list[HeldPort]:
        """`before` are the ports that the same container has already."""
        if not addresses:
            return []
        taken: tuple[str, int] = ("", 0)
        for number in self._numbers(want):
            held: list[HeldPort] = []
            for address in addresses:
                try:
                    held.append(
                        HeldPort(_bind(want.protocol, address, number), want.protocol, address, number, want.port)
                    )
                except OSError as error:
                    close_ports(held)
                    if error.errno != errno.EADDRINUSE:
                        raise _refused(want, address, number, target, error) from error
                    taken = taken if taken[0] else (address, number)
                    break
                except BaseException:
                    close_ports(held)
                    raise
            else:
                if not want.first:
                    self._next[want.protocol] = number + 1
                return held
        raise _in_use(want, *taken, target, before)

    def _numbers(self, want: PortWant) -> Iterator[int]:
        if want.first:
            yield from range(want.first, max(want.first, want.last) + 1)
            return
        low, high = _ephemeral_range()
        start = self._next.get(want.protocol, low)
        start = start if low <= start <= high else low
        yield from range(start, high + 1)
        yield from range(low, start)


def close_ports(held: Sequence[HeldPort]) -> None:
    for port in held:
        if port.fd >= 0:
            os.close(port.fd)


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def _routed(want: PortWant, target: Target, addresses: Sequence[str]) -> list[HeldPort]:
    """Without a socket and a number of the host's, as Docker lists them."""
    return [
        HeldPort(-1, want.protocol, ANY6 if _family(one) == 6 else ANY4, 0, want.port)
        for one in addresses
        if _family(one) in target.routed
    ]


def _host_has_ipv6() -> bool:
    """Whether somebody could connect to [::]: a kernel or an administrator may have none of it."""
    return read_sysctl("ipv6/conf/lo/disable_ipv6") == "0"


def _ephemeral_range() -> tuple[int, int]:
    """ip(7), ip_local_port_range: where Docker looks for a free port too."""
    try:
        low, high = (int(text) for text in (read_sysctl("ipv4/ip_local_port_range") or "").split())
    except ValueError:
        return EPHEMERAL
    return (low, high) if 0 < low <= high < 65536 else EPHEMERAL


def _bind(protocol: str, address: str, number: int) -> int:
    """A listening socket excludes every other one, SO_REUSEADDR or not (socket(7)); with it the port can be taken again
    while connections of its last owner are in TIME_WAIT."""
    six = ":" in address
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    flags = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind | flags, PROTOCOLS[protocol]) as bound:
        if six:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol != "udp":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, number))
        if protocol != "udp":
            bound.listen(BACKLOG)
        return bound.detach()


def _in_use(want: PortWant, address: str, number: int, target: Target, before: Sequence[HeldPort]) -> WardianError:
    """Docker tells its own ports in other words than other programs', and clients look for both."""
    text = f"Bind for {_join(address, _range(want, number))} failed: port is already allocated"
    error = OSError(errno.EADDRINUSE, "Address already in use")
    mine = ((one.protocol, one.host_port) == (want.protocol, number) and meet(one.host_ip, address) for one in before)
    if any(mine):  # the sockets are this process's own until the start hands them over
        return _failed(text, address, number, error, f"the container asks for port {number} twice")
    owner = owner_of(want.protocol, address, number)
    hint = f"{owner} has port {number}" if owner is not None else ""
    if owner is None or not owner.ours:
        return _refused(want, address, number, target, error, hint)
    return _failed(text, address, number, error, hint)


def _refused(want: PortWant, address: str, number: int, target: Target, error: OSError, hint: str = "") -> WardianError:
    inner = target.ipv6 if ":" in address and target.ipv6 else target.ipv4 or target.ipv6
    where = f"{_join(address, _range(want, number))}:{_join(inner, str(want.port))}/{want.protocol}"
    what = f"failed to bind host port for {where}: {os.strerror(error.errno or 0).lower()}"
    return _failed(what, address, number, error, hint)


def _failed(text: str, address: str, number: int, error: OSError, hint: str) -> WardianError:
    return WardianError(
        SYSTEM, text, operation="publish a port", subject=_join(address, str(number)), errno=error.errno or 0, hint=hint
    )


def _range(want: PortWant, number: int) -> str:
    return f"{want.first}-{want.last}" if want.last > want.first else str(number)


def _join(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
