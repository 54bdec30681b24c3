"""From endpoints to steps. Pure: what was asked and given goes in, what the kernel will be told comes out.

The order on a bridge: the port's flags before anything can pass, the MAC before IPv6 (its link-local address follows
from the MAC), addresses, then the announcement, when the port forwards, then routes. Who is familiar is announced to
the bridge alone.
"""

import ipaddress
from collections.abc import Collection, Sequence
from typing import NamedTuple

from wardian.network.endpoint_options import interface_sysctls
from wardian.network.steps import (
    Address,
    AlsoNamed,
    Announce,
    Behind,
    Forwarding,
    Join,
    Mac,
    Mtu,
    NewIpvlan,
    NewMacvlan,
    NewVeth,
    PortFlags,
    Received,
    RemoveChild,
    RemovePort,
    Rename,
    Route,
    Step,
    Sysctl,
    Up,
)
from wardian.network.values import Endpoint, NetworkConfig

ALIAS = "wardian network "
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
# What Docker gives a link-local address (IPAMConfig.LinkLocalIPs), by family.
_LINK_LOCAL_PREFIX = {4: 16, 6: 64}


class Ready(NamedTuple):
    """A veth that was made before anyone asked: `link` on the host, `interface` inside, up, with neither address nor
    IPv6. `master` is the bridge that it is joined to, "" for none."""

    link: str
    interface: str
    master: str = ""


def alias(config: NetworkConfig) -> str:
    """What the links of a network say of themselves on the host: `ip link` shows it, and a lost bridge's ports are
    found by it."""
    return f"{ALIAS}{config.id[:12]}"


def port_name(endpoint: Endpoint) -> str:
    """The host's end of this endpoint's veth: its name, or its second one when it is from the pool."""
    return f"veth{endpoint.id[:11]}"


def bridge_endpoint(
    endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
) -> tuple[Step, ...]:
    """An endpoint on a bridge. `gateways`: the families whose default route goes through it. `hairpin`: it has
    published ports."""
    config, name = endpoint.network, endpoint.interface
    port = ready.link if ready is not None else port_name(endpoint)
    steps: list[Step] = []
    if ready is None:
        steps.append(NewVeth(port, config.link, name, endpoint.mac, config.mtu, alias(config)))
    else:
        steps += [*_taken(config, ready, name), AlsoNamed(port, port_name(endpoint))]
    if hairpin or not config.icc:
        steps.append(PortFlags(port, isolated=not config.icc, hairpin=hairpin))
    if ready is not None:
        steps += [Mac(name, endpoint.mac), *_ipv6(endpoint), *own_sysctls(endpoint)]
    else:
        quiet = _ipv6(endpoint) if endpoint.ipv6 else (_no_ipv6(name),)
        steps += [*quiet, *own_sysctls(endpoint), Up(name)]
    steps += [*_addresses(endpoint), Forwarding(port, config.link)]
    steps += (Behind(port, config.link, endpoint.mac),) if endpoint.familiar else _announced(endpoint)
    return (*steps, *routes(endpoint, gateways))


def macvlan_endpoint(endpoint: Endpoint, gateways: Collection[int], mode: str) -> tuple[Step, ...]:
    """An endpoint with a link of its own on the network's parent; `mode` as in links.MACVLAN_MODES."""
    config, name = endpoint.network, endpoint.interface
    return (
        NewMacvlan(name, config.link, mode, endpoint.mac, config.mtu),
        *_child(endpoint),
        *_announced(endpoint),
        *routes(endpoint, gateways),
    )


def ipvlan_endpoint(endpoint: Endpoint, gateways: Collection[int], mode: str, flag: str) -> tuple[Step, ...]:
    """As macvlan, with the parent's MAC, which every neighbour knows already. In the modes l3 and l3s nobody asks for
    a MAC (no ARP): the default route is the link itself."""
    config, name = endpoint.network, endpoint.interface
    out = routes(endpoint, gateways) if mode == "l2" else _by_link(endpoint, gateways)
    return (NewIpvlan(name, config.link, mode, flag, config.mtu), *_child(endpoint), *out)


def leaving_bridge(endpoint: Endpoint) -> tuple[Step, ...]:
    """The endpoint's link goes from a living sandbox, and its addresses and routes with it."""
    return (RemovePort(port_name(endpoint), endpoint.network.link, endpoint.interface),)


def leaving_parent(endpoint: Endpoint) -> tuple[Step, ...]:
    """As leaving_bridge, for a link on the network's parent."""
    return (RemoveChild(endpoint.interface, endpoint.network.link, endpoint.network.driver),)


def routes(endpoint: Endpoint, gateways: Collection[int]) -> tuple[Step, ...]:
    """The default routes through this endpoint, in the place of any other. An internal network has no way out."""
    if endpoint.network.internal:
        return ()
    found: list[Step] = []
    for family, gateway, address, prefix in (
        (4, endpoint.gateway4, endpoint.ipv4, endpoint.prefix4),
        (6, endpoint.gateway6, endpoint.ipv6, endpoint.prefix6),
    ):
        if family in gateways and gateway and address:
            on_link = not _reached(gateway, address, prefix)
            found.append(Route(_DEFAULT[family], endpoint.interface, gateway, on_link))
    return tuple(found)


def own_sysctls(endpoint: Endpoint) -> tuple[Step, ...]:
    """Those that are asked for this link alone. Raises INVALID."""
    asked = interface_sysctls(endpoint.want.driver_opts, endpoint.interface)
    return tuple(Sysctl(name, value, needed=True) for name, value in asked)


def _taken(config: NetworkConfig, ready: Ready, name: str) -> list[Step]:
    """What makes a veth of the pool this network's."""
    steps: list[Step] = []
    if ready.master != config.link:
        steps.append(Join(ready.link, config.link, alias(config)))
    if config.mtu:
        steps.append(Mtu(ready.link, ready.interface, config.mtu))
    if ready.interface != name:
        steps.append(Rename(ready.interface, name))
    return steps


def _child(endpoint: Endpoint) -> Sequence[Step]:
    """A link on a parent, from birth to its addresses. No IPv6 is said before it is up, else it announces itself."""
    name = endpoint.interface
    family = _ipv6(endpoint) if endpoint.ipv6 else (_no_ipv6(name),)
    return (*family, *own_sysctls(endpoint), Up(name), *_addresses(endpoint))


def _no_ipv6(name: str) -> Step:
    return Sysctl(f"ipv6/conf/{name}/disable_ipv6", "1")


def _ipv6(endpoint: Endpoint) -> Sequence[Step]:
    """Router advertisements are ignored: a neighbour's must not become the way out (CVE-2020-13401). The exception is
    a link on a parent whose network names no gateway: the parent's router says it then."""
    if not endpoint.ipv6:
        return ()
    at = f"ipv6/conf/{endpoint.interface}"
    listens = endpoint.network.driver in ("macvlan", "ipvlan") and not (endpoint.gateway6 or endpoint.network.internal)
    return (
        *(() if listens else (Sysctl(f"{at}/accept_ra", "0"),)),
        Sysctl(f"{at}/accept_dad", "0"),
        Sysctl(f"{at}/disable_ipv6", "0", needed=True),
    )


def _addresses(endpoint: Endpoint) -> Sequence[Step]:
    addresses: list[Step] = [Address(endpoint.interface, address, prefix) for address, prefix in _all(endpoint)]
    return [*addresses, Received(endpoint.ipv6)] if endpoint.ipv6 else addresses


def _announced(endpoint: Endpoint) -> Sequence[Step]:
    addresses = tuple(address for address, _ in _all(endpoint))
    return (Announce(endpoint.interface, endpoint.mac, addresses),) if addresses else ()


def _all(endpoint: Endpoint) -> Sequence[tuple[str, int]]:
    """The addresses of an endpoint, with the lengths of their prefixes."""
    given = ((endpoint.ipv4, endpoint.prefix4), (endpoint.ipv6, endpoint.prefix6))
    asked = ((text, _LINK_LOCAL_PREFIX[ipaddress.ip_address(text).version]) for text in endpoint.want.link_local)
    return [(address, prefix) for address, prefix in (*given, *asked) if address]


def _by_link(endpoint: Endpoint, gateways: Collection[int]) -> tuple[Step, ...]:
    if endpoint.network.internal:
        return ()
    has = {4: endpoint.ipv4, 6: endpoint.ipv6}
    return tuple(Route(_DEFAULT[family], endpoint.interface) for family in (4, 6) if family in gateways and has[family])


def _reached(gateway: str, address: str, prefix: int) -> bool:
    """Whether the gateway is in the address's own subnet, or on every link (fe80::/10)."""
    place = ipaddress.ip_address(gateway)
    return place.is_link_local or place in ipaddress.ip_interface(f"{address}/{prefix}").network
