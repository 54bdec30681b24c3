"""Flows that go on past a change of the published ports, or of the networks of who published them.

TCP begins anew with every connection. A UDP flow lasts as long as its sender does not pause: what began before a port
was published never meets its rule, and what was led to a container goes on to its address when another container has
it. So the flows that a change concerns are deleted; the next packet of each is a new flow. That takes 9 ms for each
family (the kernel walks a table of 262144 buckets), so it is done beside the start or end, by a thread of its own, in
the network namespace of the caller.

A client of another network is seen by its own address, until the container joins that network: then its answers take
the short way, past us, and nobody knows them there. So what began before begins anew, TCP too: a packet of a connection
that its ends no longer share is answered with a reset, instead of with silence.
"""

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Collection, Sequence

from wardian.kernel import conntrack
from wardian.kernel.conntrack import Conntrack, Flow
from wardian.kernel.netlink import Netlink
from wardian.network.owners import PROTOCOLS
from wardian.network.values import PortRule, ShortWay

log = logging.getLogger(__name__)


def forget_flows(gone: Sequence[PortRule], come: Sequence[PortRule]) -> threading.Thread | None:
    """After rules went and came. Returns who does it, None when there is nothing to do."""
    gone, come = ([rule for rule in rules if rule.protocol == "udp" and rule.host_port] for rules in (gone, come))
    if not gone and not come:
        return None
    return _beside(lambda tracking: _forget(tracking, gone, come))


def forget_short_flows(ways: Collection[ShortWay]) -> threading.Thread | None:
    """After these came. Returns as `forget_flows`."""
    return _beside(lambda tracking: _forget_short(tracking, ways)) if ways else None


def _beside(work: Callable[[Conntrack], None]) -> threading.Thread:
    thread = threading.Thread(target=_with_tracking, args=(work,), name="flows", daemon=True)
    thread.start()
    return thread


def _with_tracking(work: Callable[[Conntrack], None]) -> None:
    try:
        with Conntrack() as tracking:
            work(tracking)
    except OSError as error:
        if not conntrack.is_missing(error):
            log.warning("flows of published ports that changed go on until they pause: %s", error)


def leads_on(flow: Flow, rule: PortRule) -> bool:
    """Whether a flow still goes to the container that a rule led to."""
    return flow.answers_from == rule.address


def misses(flow: Flow, rule: PortRule, local: Callable[[], frozenset[str]]) -> bool:
    """Whether a flow goes to this host, by an address that a rule is for, and not where the rule leads. What only
    passes through this host is others'."""
    if flow.answers_from == rule.address:
        return False
    anywhere = rule.host_ip in ("0.0.0.0", "::")
    return flow.destination in local() if anywhere else flow.destination == rule.host_ip


def is_cut_short(flow: Flow, way: ShortWay) -> bool:
    """Whether a flow came by a published port, and its answer, meant for the client itself, would take this way."""
    return flow.answers_from == way.address != flow.destination and ipaddress.ip_address(
        flow.answers_to
    ) in ipaddress.ip_network(way.subnet)


def _forget_short(tracking: Conntrack, ways: Collection[ShortWay]) -> None:
    for address in {way.address for way in ways}:
        for flow in tracking.flows_answered_by(address):
            if any(is_cut_short(flow, way) for way in ways):
                tracking.delete(flow)


def _forget(tracking: Conntrack, gone: Sequence[PortRule], come: Sequence[PortRule]) -> None:
    known: list[frozenset[str]] = []

    def local() -> frozenset[str]:
        if not known:
            with Netlink() as nl:
                known.append(frozenset(str(one.address) for one in nl.addresses()))
        return known[0]

    for rule in (*gone, *come):
        family = socket.AF_INET6 if ":" in rule.host_ip else socket.AF_INET
        for flow in tracking.flows_to(family, PROTOCOLS[rule.protocol], rule.host_port):
            if leads_on(flow, rule) if rule in gone else misses(flow, rule, local):
                tracking.delete(flow)
