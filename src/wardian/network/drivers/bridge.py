"""Networks on a bridge of this host: link, addresses, sysctls; what runs on it goes through the firewall.

Everything about the bridge that a neighbour could use is said before it is up: no IPv6 where none was asked for, and
no ear for router advertisements (CVE-2020-13401), unless the host had IPv6 there before us.
"""

import functools
import hashlib
from collections.abc import Collection, Sequence

from wardian.kernel import links, netlink
from wardian.network import plan
from wardian.network.drivers import refusals
from wardian.network.forwarding import outer_bridges
from wardian.network.host import Host
from wardian.network.options import BRIDGE
from wardian.network.plan import Ready
from wardian.network.refusals import invalid
from wardian.network.steps import Step, until
from wardian.network.values import Endpoint, NetworkConfig, NetworkRules, Subnet

_NOT_BUILT = (BRIDGE + "trusted_host_interfaces",)
# What the kernel keeps with an address that was given here (IFA_PROTO; `ip -d address` shows it). 0 to 3 are its own.
ORIGIN = 0x77


class Bridge:
    """The driver "bridge". Its methods' contract is contract.Driver's."""

    name = "bridge"
    uses_veth = True

    def __init__(self, host: Host) -> None:
        self._host = host
        self._indices: dict[str, int] = {}
        self._given: set[tuple[int, str]] = set()  # link, address; for kernels that do not keep ORIGIN

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        for name in _NOT_BUILT:
            if name in config.options:
                raise refusals.not_built(name)
        if config.flag(BRIDGE + "default_bridge", False):
            raise invalid("there is one default bridge, and it is there already", config.name)

    def ensure(self, config: NetworkConfig, keep: bool) -> None:
        """What fails takes a bridge that was made for it away again."""
        link, made = self._bridge_of(config)
        try:
            self._complete(config, link, keep and not made)
            if made:
                self._host.join_again(plan.alias(config), link.ifindex, isolated=not config.icc)
        except BaseException:
            if made:
                self._host.netlink.send([netlink.delete_link(link.ifindex, config.link)])
            raise
        self._know(config, link.ifindex)
        if link.mac == mac_of(config.link):
            self._host.kept[link.ifindex] = functools.partial(self._put_back, config, link.ifindex)

    def mend(self, config: NetworkConfig) -> bool:
        link = self._host.netlink.link(config.link)
        if link is not None and self._indices.get(config.id) == link.ifindex:
            return False
        self.ensure(config, keep=True)
        return True

    def remove(self, config: NetworkConfig) -> None:
        """A bridge that was there before the network stays, with what it had then."""
        self._know(config, 0)
        link = self._host.netlink.link(config.link)
        if link is None or link.kind != "bridge":
            return
        if link.alias == plan.alias(config):
            self._host.netlink.send([netlink.delete_link(link.ifindex, config.link)])
        else:
            self._take_back(config, link)

    def endpoint_steps(
        self, endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
    ) -> tuple[Step, ...]:
        """On a bridge of the host's own there are others, of whom we know nothing."""
        if self._indices.get(endpoint.network.id) not in self._host.kept:
            endpoint = endpoint._replace(familiar=False)
        return plan.bridge_endpoint(endpoint, gateways, hairpin, ready)

    def leaving_steps(self, endpoint: Endpoint) -> tuple[Step, ...]:
        return plan.leaving_bridge(endpoint)

    def rules(self, config: NetworkConfig) -> NetworkRules | None:
        return NetworkRules(
            config.link,
            tuple(str(subnet.subnet) for subnet in config.subnets),
            config.internal,
            config.icc,
            config.masquerade,
            config.gateway_mode4,
            config.gateway_mode6,
            config.source4,
            config.source6,
        )

    def _know(self, config: NetworkConfig, index: int) -> None:
        """The link's number; 0: it has none any more."""
        before = self._indices.pop(config.id, 0)
        if before != index:
            self._host.kept.pop(before, None)
        if index:
            self._indices[config.id] = index

    def _put_back(self, config: NetworkConfig, index: int) -> str:
        """A link that went with its addresses, or some of those; "" when all is there."""
        link = self._host.netlink.link(config.link)
        if link is None or link.ifindex != index:
            self.ensure(config, keep=True)
            return config.link
        there = {one.address for one in self._host.netlink.addresses() if one.ifindex == index}
        if all(subnet.gateway in there for subnet in gateways_of(config) if subnet.gateway):
            return ""
        self._address(config, link)
        return config.link

    def _bridge_of(self, config: NetworkConfig) -> tuple[netlink.Link, bool]:
        """The network's bridge, and whether it was just made."""
        link = self._host.netlink.link(config.link)
        if link is None:
            self._host.netlink.send([netlink.new_bridge(config.link, mac_of(config.link))])
            return self._host.link(config.link), True
        if link.kind != "bridge":
            raise refusals.link_in_use(config.link, "is no bridge")
        if _is_others(config, link):
            raise refusals.link_in_use(config.link, f"is another network's: {link.alias}")
        return link, False

    def _complete(self, config: NetworkConfig, link: netlink.Link, keep: bool) -> None:
        if link.mac == mac_of(config.link):
            self._host.netlink.send([links.set_alias(link.ifindex, config.link, plan.alias(config))])
        self._settle(config, link)
        if not keep:
            self._forget_addresses(config, link)
        self._address(config, link)
        self._forward(config)

    def _settle(self, config: NetworkConfig, link: netlink.Link) -> None:
        """Sysctls and size, then up."""
        name = config.link
        if link.mac == mac_of(name):
            change = self._host.sysctl
        else:
            change = functools.partial(self._host.set_borrowed, link)
        lives = self._lives_by_ipv6(config, link)
        if not lives:  # where it does, a router may be its own way out, as it was before the network
            change(f"ipv6/conf/{name}/accept_ra", "0")
        # The kernel asks for a container's link from the bridge's link-local address. While that one is still being
        # proved unique, two seconds, it does not ask, and what is forwarded to a new network's containers is lost.
        change(f"ipv6/conf/{name}/accept_dad", "0")
        if config.enable_ipv6 or not lives:
            change(f"ipv6/conf/{name}/disable_ipv6", "0" if config.enable_ipv6 else "1")
        if publishes4(config):
            # A host's 127.0.0.1 reaches a published port by NAT; the firewall drops 127/8 that comes from any link.
            change(f"ipv4/conf/{name}/route_localnet", "1")
        if config.mtu and link.mac != mac_of(name):
            change("mtu", str(config.mtu))
        elif config.mtu and config.mtu != link.mtu:
            self._host.netlink.send([links.set_mtu(link.ifindex, name, config.mtu)])
        self._host.netlink.send([netlink.link_up(link.ifindex, name)])

    def _lives_by_ipv6(self, config: NetworkConfig, link: netlink.Link) -> bool:
        """Whether the host itself has IPv6 on a bridge that is not ours: its addresses would go with IPv6. On one that
        its network card is in it may be about to: at boot, a router's word comes after us."""
        if link.mac == mac_of(config.link):
            return False
        return config.link in outer_bridges(self._host.netlink.links()) or any(
            one.ifindex == link.ifindex
            and one.address.version == 6
            and not one.address.is_link_local
            and not self._is_given(link, one)
            for one in self._host.netlink.addresses()
        )

    def _address(self, config: NetworkConfig, link: netlink.Link) -> None:
        nl = self._host.netlink
        there = {one.address for one in nl.addresses() if one.ifindex == link.ifindex}
        for subnet in gateways_of(config):
            gateway = str(subnet.gateway or "")
            if gateway and subnet.gateway not in there:
                nl.send([netlink.new_address(link.ifindex, link.name, gateway, subnet.subnet.prefixlen, ORIGIN)])
                self._given.add((link.ifindex, gateway))
            if ":" in gateway:
                until(functools.partial(nl.is_local, gateway))  # see steps.Received

    def _forget_addresses(self, config: NetworkConfig, link: netlink.Link) -> None:
        """Of a bridge of ours all but the network's own."""
        own = {subnet.gateway for subnet in gateways_of(config)}
        if link.mac != mac_of(config.link):
            return
        for one in self._host.netlink.addresses():
            if one.ifindex == link.ifindex and not one.address.is_link_local and one.address not in own:
                self._forget(link, one)

    def _take_back(self, config: NetworkConfig, link: netlink.Link) -> None:
        """From a foreign bridge the network's own that were given here (it may have had the gateway's before), and
        what was changed."""
        own = {subnet.gateway for subnet in gateways_of(config)}
        for one in self._host.netlink.addresses():
            if one.ifindex != link.ifindex or one.address not in own:
                continue
            if self._is_given(link, one):
                self._forget(link, one)
        self._host.give_back(link)

    def _is_given(self, link: netlink.Link, one: netlink.Address) -> bool:
        return one.origin == ORIGIN or (link.ifindex, str(one.address)) in self._given

    def _forget(self, link: netlink.Link, one: netlink.Address) -> None:
        self._host.netlink.send([netlink.delete_address(link.ifindex, link.name, str(one.address), one.prefix)])
        self._given.discard((link.ifindex, str(one.address)))

    def _forward(self, config: NetworkConfig) -> None:
        if config.internal:
            return
        if config.v4 is not None and config.gateway_mode4 != "isolated":
            self._host.forward(4)
        if config.v6 is not None and config.gateway_mode6 != "isolated":
            self._host.forward(6)


def _is_others(config: NetworkConfig, link: netlink.Link) -> bool:
    """Whether another network made it. The default bridge of an engine that is no more is taken over by the next."""
    of_network = link.alias.startswith(plan.ALIAS) and link.alias != plan.alias(config)
    return of_network and not config.flag(BRIDGE + "default_bridge", False)


def gateways_of(config: NetworkConfig) -> list[Subnet]:
    """The subnets in which the bridge itself has the gateway's address."""
    mode = {4: config.gateway_mode4, 6: config.gateway_mode6}
    without = (4,) if config.flag(BRIDGE + "inhibit_ipv4", False) else ()
    return [
        one for one in config.subnets if mode[one.subnet.version] != "isolated" and one.subnet.version not in without
    ]


def publishes4(config: NetworkConfig) -> bool:
    return config.v4 is not None and not config.internal and config.gateway_mode4 in ("nat", "nat-unprotected")


def mac_of(link: str) -> str:
    """A locally administered address that follows from the name: the same after a restart, other than a neighbour's."""
    return "02:42:" + hashlib.sha256(link.encode()).digest()[:4].hex(":")
