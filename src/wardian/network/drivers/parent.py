"""What macvlan and ipvlan have in common: children of a parent link, which is one that the host has, a VLAN of it, or
one that leads nowhere."""

import errno
import re
from collections.abc import Iterator, Sequence

from wardian.errors import INVALID, UNAVAILABLE, WardianError
from wardian.kernel import links, netlink
from wardian.network import plan
from wardian.network.host import Host
from wardian.network.refusals import invalid
from wardian.network.steps import Step
from wardian.network.values import Endpoint, NetworkConfig, NetworkRules

_VLAN = re.compile(r"(?P<link>.+)\.(?P<number>[0-9]{1,4})")


class Children:
    """A driver whose containers' links are children of the network's parent. Its contract is contract.Driver's.

    `prefix` begins the names of parents that lead nowhere.
    """

    name: str
    prefix: str
    uses_veth = False

    def __init__(self, host: Host) -> None:
        self._host = host
        self._indices: dict[str, int] = {}

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        if config.link == "lo":
            raise invalid(f"loopback interface is not a valid {config.driver} parent link", config.link)
        for other in self._beside(config, others):
            self.check_beside(config, other)

    def check_beside(self, config: NetworkConfig, other: NetworkConfig) -> None:
        """Raises INVALID when the two cannot share their parent."""
        raise NotImplementedError

    def _beside(self, config: NetworkConfig, others: Sequence[NetworkConfig]) -> Iterator[NetworkConfig]:
        for other in others:
            if other.driver == self.name and other.link == config.link and other.id != config.id:
                yield other

    def ensure(self, config: NetworkConfig, keep: bool = False) -> None:
        """Made when it is the dummy of this network or a VLAN (`eth0.10`) that is not there yet.

        Raises INVALID when there is no such link, UNAVAILABLE when this kernel cannot make it or its children.
        """
        _ask_for_children(self._host, config.driver)
        link = self._host.netlink.link(config.link)
        if link is None:
            _make(self._host, config, f"{self.prefix}{config.id[:12]}")
            link = self._host.link(config.link)
            self._host.netlink.send([links.set_alias(link.ifindex, link.name, plan.alias(config))])
            self._host.sysctl(f"ipv6/conf/{link.name}/disable_ipv6", "1")
            self._host.netlink.send([netlink.link_up(link.ifindex, link.name)])
        self._indices[config.id] = link.ifindex

    def mend(self, config: NetworkConfig) -> bool:
        link = self._host.netlink.link(config.link)
        if link is not None and link.ifindex == self._indices.get(config.id):
            return False
        self.ensure(config)
        return True

    def remove(self, config: NetworkConfig) -> None:
        """Only what says of itself that it was made for this network."""
        self._indices.pop(config.id, None)
        link = self._host.netlink.link(config.link)
        if link is not None and link.alias == plan.alias(config):
            self._host.netlink.send([netlink.delete_link(link.ifindex, config.link)])

    def leaving_steps(self, endpoint: Endpoint) -> tuple[Step, ...]:
        return plan.leaving_parent(endpoint)

    def rules(self, config: NetworkConfig) -> NetworkRules | None:
        """None: nothing of theirs passes through this host."""
        return None


def _ask_for_children(host: Host, kind: str) -> None:
    """Whether this kernel has links of the driver's kind: one on a parent that cannot be is refused in either case, and
    the reason tells. The kernel loads its module for it."""
    try:
        host.netlink.send([links.probe_child(kind)])
    except netlink.NetlinkError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise unknown_kind(kind) from error


def _make(host: Host, config: NetworkConfig, dummy: str) -> None:
    if config.link == dummy:
        return _send(host, links.new_dummy(dummy), "dummy")
    vlan = _VLAN.fullmatch(config.link)
    below = host.netlink.link(vlan["link"]) if vlan is not None else None
    if vlan is None or below is None or not 1 <= int(vlan["number"]) <= 4094:
        raise WardianError(
            INVALID,
            f"the parent link {config.link} of network {config.name} does not exist",
            operation=f"make a {config.driver} network",
            subject=config.link,
            hint="LINK.NUMBER names a VLAN (1-4094) of a link that exists, and is made",
        )
    return _send(host, links.new_vlan(config.link, below.ifindex, int(vlan["number"])), "vlan")


def _send(host: Host, message: netlink.Message, kind: str) -> None:
    try:
        host.netlink.send([message])
    except netlink.NetlinkError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise unknown_kind(kind) from error
        raise


def unknown_kind(kind: str) -> WardianError:
    return WardianError(
        UNAVAILABLE,
        f"this kernel has no links of the kind {kind}",
        operation=f"make a {kind} link",
        errno=errno.EOPNOTSUPP,
        hint=f"modprobe {'8021q' if kind == 'vlan' else kind}",
    )
