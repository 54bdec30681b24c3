"""UDP flows that go on past a change of the published ports.

TCP begins anew with every connection. A UDP flow lasts as long as its sender does not pause: what began before a port
was published never meets its rule, and what was led to a container goes on to its address when another container has
it. So the flows that a change concerns are deleted; the next packet of each is a new flow. That takes 9 ms for each
family (the kernel walks a table of 262144 buckets), so it is done beside the start or end, by a thread of its own, in
the network namespace of the caller.
"""

import logging
import socket
import threading
from collections.abc import Callable, Sequence

from wardian.kernel import conntrack
from wardian.kernel.conntrack import Conntrack, Flow
from wardian.kernel.netlink import Netlink
from wardian.network.owners import PROTOCOLS
from wardian.network.values import PortRule

log = logging.getLogger(__name__)


def forget_flows(gone: Sequence[PortRule], come: Sequence[PortRule]) -> threading.Thread | None:
    """After rules went and came. Returns who does it, None when there is nothing to do."""
    gone, come = ([rule for rule in rules if rule.protocol == "udp" and rule.host_port] for rules in (gone, come))
    if not gone and not come:
        return None
    thread = threading.Thread(target=_forget, args=(gone, come), name="flows", daemon=True)
    thread.start()
    return thread


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


def _forget(gone: Sequence[PortRule], come: Sequence[PortRule]) -> None:
    known: list[frozenset[str]] = []

    def local() -> frozenset[str]:
        if not known:
            with Netlink() as nl:
                known.append(frozenset(str(one.address) for one in nl.addresses()))
        return known[0]

    try:
        with Conntrack() as tracking:
            for rule in (*gone, *come):
                family = socket.AF_INET6 if ":" in rule.host_ip else socket.AF_INET
                for flow in tracking.flows_to(family, PROTOCOLS[rule.protocol], rule.host_port):
                    if leads_on(flow, rule) if rule in gone else misses(flow, rule, local):
                        tracking.delete(flow)
    except OSError as error:
        if not conntrack.is_missing(error):
            log.warning("flows of published ports that changed go on until they pause: %s", error)
