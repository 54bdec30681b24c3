"""Published ports of sandboxes: the host's sockets, where each leads, and the firewall's elements that lead there.

Rows keep where each leads; that is all an engine's restart must know, as the sockets are with the supervisors.
"""

import ipaddress
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from wardian.errors import WardianError
from wardian.network.firewall import Firewall
from wardian.network.flows import forget_flows, forget_short_flows
from wardian.network.ports import PortBook, Target, close_ports, held_of, held_publications, leads, rules
from wardian.network.values import Done, Endpoint, HeldPort, PortRule, PortWant, ShortWay
from wardian.runtime import Publication

log = logging.getLogger(__name__)


class Published(NamedTuple):
    """A sandbox's ports: what holds them, and where each leads."""

    held: tuple[HeldPort, ...] = ()
    leads: tuple[PortRule, ...] = ()

    @property
    def rules(self) -> tuple[PortRule, ...]:
        """Those that the firewall leads there; the others are relayed."""
        return rules(self.leads)

    def publications(self) -> tuple[Publication, ...]:
        return held_publications(self.held, self.leads)

    def handed_over(self) -> "Published":
        """Once the supervisor has the sockets."""
        return self._replace(held=held_of(self.leads))


NOTHING = Published()


def stored(rows: Sequence[PortRule]) -> Published:
    """What an earlier engine published."""
    return Published(held_of(rows), tuple(rows))


def short_ways(rules: Sequence[PortRule], endpoints: Sequence[Endpoint]) -> frozenset[ShortWay]:
    """From those to whom the rules lead. Links of several drivers may have the same subnets."""
    on_link = [
        ipaddress.ip_interface(f"{address}/{prefix}")
        for one in endpoints
        for address, prefix in ((one.ipv4, one.prefix4), (one.ipv6, one.prefix6))
        if address
    ]
    found: set[ShortWay] = set()
    for target in {ipaddress.ip_address(rule.address) for rule in rules}:
        others4 = [one.network for one in on_link if isinstance(one, ipaddress.IPv4Interface) and one.ip != target]
        others6 = [one.network for one in on_link if isinstance(one, ipaddress.IPv6Interface) and one.ip != target]
        others = ipaddress.collapse_addresses(others4) if target.version == 4 else ipaddress.collapse_addresses(others6)
        found.update(ShortWay(str(target), str(one)) for one in others)
    return frozenset(found)


class PortBoard:
    """All published ports of one engine. Its methods run in the network's thread."""

    def __init__(self, firewall: Firewall, book: PortBook) -> None:
        self._firewall = firewall
        self._book = book
        self._short: dict[str, frozenset[ShortWay]] = {}  # by sandbox

    def publish(self, wants: Sequence[PortWant], target: Target, binding: str) -> tuple[Published, tuple[Done, ...]]:
        """Sockets and elements, or nothing and the error."""
        clock = Clock()
        held = self._book.book(wants, target, binding)
        try:
            found = Published(held, leads(held, target))
            booked = clock.lap()
            self._firewall.add_ports(found.rules)
        except BaseException:
            close_ports(held)
            raise
        forget_flows((), found.rules)
        return found, _steps(found, booked, clock.lap(), self._firewall.describe)

    def lead(self, published: Published, target: Target) -> Published:
        """The same sockets, leading elsewhere."""
        after = published._replace(leads=leads(published.held, target))
        self._swap(published.rules, after.rules)
        return after

    def lead_back(self, published: Published, before: Published) -> None:
        self._swap(published.rules, before.rules)

    def withdraw(self, published: Published) -> None:
        self._firewall.remove_ports(published.rules)
        forget_flows(published.rules, ())

    def restore(self, published: Published) -> None:
        self._firewall.add_ports(published.rules)

    def know_short_ways(self, given: Mapping[str, frozenset[ShortWay]]) -> None:
        """What these sandboxes have now, in place of what they had."""
        before = self._short
        self.recall_short_ways({**before, **given})
        forget_short_flows(_all_ways(self._short) - _all_ways(before))

    def recall_short_ways(self, given: Mapping[str, frozenset[ShortWay]]) -> None:
        """As `know_short_ways`, when the engine starts: no flow is older than they are."""
        after = {sandbox: ways for sandbox, ways in given.items() if ways}
        self._firewall.know_short_ways(_all_ways(after))
        self._short = after

    def forget_short_ways(self, sandbox: str) -> None:
        """Cannot fail: what is refused goes with the next change."""
        self._short.pop(sandbox, None)
        try:
            self.know_short_ways({})
        except WardianError as error:
            log.warning("sandbox %s: the ways of its answers are not taken out yet: %s", sandbox[:12], error)

    def _swap(self, before: Sequence[PortRule], after: Sequence[PortRule]) -> None:
        """Elements are known by the host's side: the old one goes before the new one comes."""
        gone = [one for one in before if one not in after]
        come = [one for one in after if one not in before]
        self._firewall.remove_ports(gone)
        try:
            self._firewall.add_ports(come)
        except BaseException:
            self._firewall.add_ports(gone)
            raise
        forget_flows(gone, come)


def _all_ways(given: Mapping[str, frozenset[ShortWay]]) -> frozenset[ShortWay]:
    return frozenset[ShortWay]().union(*given.values())


def of_endpoint(error: WardianError, name: str, endpoint: str) -> WardianError:
    """What could not be published, in Docker's sentence about the endpoint."""
    message = f"driver failed programming external connectivity on endpoint {name} ({endpoint}): {error.message}"
    return WardianError(
        error.kind, message, operation=error.operation, subject=error.subject, errno=error.errno, hint=error.hint
    )


class Clock:
    """Nanoseconds from one lap to the next."""

    def __init__(self) -> None:
        self._last = time.monotonic_ns()

    def lap(self) -> int:
        last, self._last = self._last, time.monotonic_ns()
        return self._last - last


def _steps(published: Published, booking: int, leading: int, describe: Callable[[PortRule], str]) -> tuple[Done, ...]:
    """All sockets and all elements were made at once: each is shown with its share."""
    sockets, elements = len(published.leads) or 1, len(published.rules) or 1
    held = [Done("port", describe_lead(one), booking // sockets) for one in published.leads]
    led = [Done("rule", describe(one), leading // elements) for one in published.rules]
    return (*held, *led)


def describe_lead(one: PortRule) -> str:
    if not one.host_port:
        return f"{_join(one.address, one.port)}/{one.protocol} is reached by routing"
    return f"{describe_host_port(one)} leads to {_join(one.address, one.port)}/{one.protocol}"


def describe_host_port(one: PortRule) -> str:
    return _join(one.host_ip, one.host_port)


def describe_want(want: PortWant) -> str:
    number = f"{want.first}-{want.last}" if want.last > want.first else str(want.first or "any free port")
    host = want.host_ip or "every address of the host"
    return f"{number} of {host} for {want.port}/{want.protocol}"


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
