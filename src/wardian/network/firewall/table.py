"""The nft table of one engine, as text: rules that never change, and sets and maps that hold what does.

Everything of an engine is in the table `inet wardian-BRIDGE`: several engines coexist, and one delete removes it all.
Each packet meets the same few rules, whether there is one network or two hundred, one published port or a thousand: a
network is one element in some sets, a port is one element of one map.

A packet that one base chain accepts still goes through every other base chain of that hook, and any may drop it
(nft(8), "verdict statements"). What our forward chain accepts it therefore marks with one bit, for the one rule in a
chain of somebody else that drops all the rest (see `foreign`); the bit is taken off before the packet leaves.

All names begin with `wardian-`: a name that is a keyword of nft breaks its grammar.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from wardian.network.firewall import families
from wardian.network.firewall.contract import Transit, Wanted
from wardian.network.values import NetworkRules, PortRule, ShortWay

# One bit of the packet's mark. Kubernetes uses 0x4000 and 0x8000, Tailscale 0x00ff0000, Calico the lowest of its range.
ACCEPTED = 0x20000000

# Our forward chain comes before the usual filters, so that its bit is set when they are reached.
FORWARD_PRIORITY = -140

_SETS = """
    set wardian-links { type ifname; }
    set wardian-internal { type ifname; }
    set wardian-within { type ifname . ifname; }
    set wardian-outward { type nf_proto . ifname; }
    set wardian-unprotected { type nf_proto . ifname; }
    set wardian-routed { type nf_proto . ifname; }
    set wardian-no-transit { type nf_proto; }
    set wardian-others { type ifname; }
    set wardian-bridged { type ifname . ifname; }
"""

_SETS_OF_FAMILY = """
    set wardian-own{v} {{ type ifname . ipv{v}_addr; flags interval; }}
    set wardian-subnets{v} {{ type ipv{v}_addr; flags interval; }}
    set wardian-guarded{v} {{ type ipv{v}_addr; flags interval; }}
    set wardian-masquerade{v} {{ type ipv{v}_addr; flags interval; }}
    set wardian-short{v} {{ type ipv{v}_addr . ipv{v}_addr; flags interval; }}
    map wardian-source{v} {{ type ipv{v}_addr : ipv{v}_addr; flags interval; }}
    set wardian-met{v} {{ type ifname . inet_proto . inet_service; }}
    set wardian-met-at{v} {{ type ifname . ipv{v}_addr . inet_proto . inet_service; }}
    set wardian-open{v} {{ type ipv{v}_addr . inet_proto . inet_service; }}
    map wardian-any{v} {{ type inet_proto . inet_service : ipv{v}_addr . inet_service; }}
    map wardian-ports{v} {{ type ipv{v}_addr . inet_proto . inet_service : ipv{v}_addr . inet_service; }}
    map wardian-loopback{v} {{ type ipv{v}_addr . inet_proto . inet_service : ipv{v}_addr . inet_service; }}
"""

# raw: before connection tracking. A neighbour on the link may route 127.0.0.1, a container's address or a bridge's own
# to us; with route_localnet on our bridges it would otherwise get in. Nobody speaks with the address of a network that
# he is not on. Between our own networks the forward chain decides: an answer to another network's container goes to its
# address.
# publish: looked up for the host's own addresses only. nft 1.0 wants the l4proto said before a port is given to dnat.
# A port that is published on a loopback address is looked up for packets of this host only.
# met: whose members reach each other by published ports alone. Where br_netfilter shows us a frame, what it leads to a
# port of the same bridge stays a frame, and the isolation of the ports drops it: the supervisor's socket relays.
# forward: from top to bottom what is allowed; `ct status dnat` is a connection that came by a published port. Same
# link: frames that br_netfilter shows us, and what a container sends by the gateway to its own network.
# transit: what has nothing to do with us is none of ours, but where the host forwards because we wanted it to.
# postrouting: towards our links the client's address is kept, but for the host's own 127.0.0.1, and for a container
# that comes by the host's address to its own network, or to a container that has a link to the client's network, or to
# itself: the answer would otherwise take the short way past us.
_CHAINS = """
    chain wardian-raw {{
        type filter hook prerouting priority raw; policy accept;
        iifname "lo" accept
        ip daddr 127.0.0.0/8 drop
        ip saddr 127.0.0.0/8 drop
        ip6 daddr ::1 drop
        ip6 saddr ::1 drop
        ip saddr @wardian-guarded4 iifname . ip saddr != @wardian-own4 drop
        ip6 saddr @wardian-guarded6 iifname . ip6 saddr != @wardian-own6 drop
        iifname @wardian-links accept
        ip daddr @wardian-guarded4 drop
        ip6 daddr @wardian-guarded6 drop
    }}
    chain wardian-publish {{
        {l4} meta nfproto ipv4 iifname . meta l4proto . th dport @wardian-met4 return
        {l4} iifname . ip daddr . meta l4proto . th dport @wardian-met-at4 return
        {l4} meta nfproto ipv6 iifname . meta l4proto . th dport @wardian-met6 return
        {l4} iifname . ip6 daddr . meta l4proto . th dport @wardian-met-at6 return
        {l4} dnat ip to ip daddr . meta l4proto . th dport map @wardian-ports4
        {l4} dnat ip to meta l4proto . th dport map @wardian-any4
        {l4} dnat ip6 to ip6 daddr . meta l4proto . th dport map @wardian-ports6
        ip6 daddr != ::1 {l4} dnat ip6 to meta l4proto . th dport map @wardian-any6
    }}
    chain wardian-prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local jump wardian-publish
    }}
    chain wardian-output {{
        type nat hook output priority -100; policy accept;
        {l4} dnat ip to ip daddr . meta l4proto . th dport map @wardian-loopback4
        fib daddr type local jump wardian-publish
    }}
    chain wardian-accept {{
        meta mark set meta mark | {accepted:#x} accept
    }}
    chain wardian-transit {{
        meta nfproto != @wardian-no-transit accept
        iifname . oifname @wardian-bridged accept
        meta iifkind "bridge" iifname @wardian-others accept
        meta oifkind "bridge" oifname @wardian-others accept
        drop
    }}
    chain wardian-forward {{
        type filter hook forward priority {priority}; policy accept;
        iifname != @wardian-links oifname != @wardian-links goto wardian-transit
        ct state established,related goto wardian-accept
        iifname . oifname @wardian-within goto wardian-accept
        iifname @wardian-internal drop
        oifname @wardian-internal drop
        oifname @wardian-links ct status dnat goto wardian-accept
        ip daddr . meta l4proto . th dport @wardian-open4 goto wardian-accept
        ip6 daddr . meta l4proto . th dport @wardian-open6 goto wardian-accept
        meta nfproto . oifname @wardian-routed meta l4proto {{ icmp, icmpv6 }} goto wardian-accept
        iifname != @wardian-links meta nfproto . oifname @wardian-unprotected goto wardian-accept
        oifname @wardian-links drop
        meta nfproto . iifname @wardian-outward goto wardian-accept
        drop
    }}
    chain wardian-unmark {{
        type filter hook postrouting priority raw; policy accept;
        oifname @wardian-links meta mark set meta mark & {others:#x} accept
        ip saddr @wardian-subnets4 meta mark set meta mark & {others:#x} accept
        ip6 saddr @wardian-subnets6 meta mark set meta mark & {others:#x}
    }}
    chain wardian-inward {{
        ip saddr 127.0.0.0/8 masquerade
        ct status dnat oifname . ip saddr @wardian-own4 masquerade
        ct status dnat oifname . ip6 saddr @wardian-own6 masquerade
        ct status dnat ip daddr . ip saddr @wardian-short4 masquerade
        ct status dnat ip6 daddr . ip6 saddr @wardian-short6 masquerade
    }}
    chain wardian-postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname @wardian-links goto wardian-inward
        snat ip to ip saddr map @wardian-source4
        snat ip6 to ip6 saddr map @wardian-source6
        ip saddr @wardian-masquerade4 masquerade
        ip6 saddr @wardian-masquerade6 masquerade
    }}
"""

# The elements of one set or map, by its name.
Elements = Mapping[str, Sequence[str]]


def table_name(bridge: str) -> str:
    return f"wardian-{families.check_link(bridge)}"


def whole(bridge: str, wanted: Wanted) -> str:
    """The commands that make the table as it must be, whatever was there: one transaction."""
    table = table_name(bridge)
    chains = _CHAINS.format(
        l4="meta l4proto { tcp, udp, sctp }",
        accepted=ACCEPTED,
        others=0xFFFFFFFF ^ ACCEPTED,
        priority=FORWARD_PRIORITY,
    )
    sets = _SETS + "".join(_SETS_OF_FAMILY.format(v=version) for version in families.FAMILIES)
    return f"{remove(bridge)}table inet {table} {{{sets}{chains}}}\n" + add(bridge, elements(wanted))


def remove(bridge: str) -> str:
    """`add` first: deleting a table that is not there would be refused."""
    table = table_name(bridge)
    return f"add table inet {table}\ndelete table inet {table}\n"


def add(bridge: str, given: Elements) -> str:
    return _commands("add", bridge, given)


def delete(bridge: str, given: Elements) -> str:
    return _commands("delete", bridge, given)


def elements(wanted: Wanted) -> Elements:
    """All of an engine's elements."""
    networks = (of_network(rules) for rules in wanted.networks.values())
    ports = (of_port(port, wanted.networks.get(port.link)) for port in wanted.ports)
    return merged([*networks, *ports, of_short_ways(wanted.short), of_transit(wanted.transit)])


def merged(many: Iterable[Elements]) -> Elements:
    together: dict[str, list[str]] = {}
    for one in many:
        for name, found in one.items():
            together.setdefault(name, []).extend(found)
    return together


def of_network(network: NetworkRules) -> Elements:
    """The elements of one network."""
    link = f'"{families.check_link(network.link)}"'
    found: dict[str, list[str]] = {"wardian-links": [link]}
    if network.internal:
        found["wardian-internal"] = [link]
    if network.icc:
        found["wardian-within"] = [f"{link} . {link}"]
    for version in families.FAMILIES:
        subnets = families.subnets(network, version)
        if not subnets:
            continue
        mode, pair = families.mode(network, version), f"ipv{version} . {link}"
        found[f"wardian-own{version}"] = [f"{link} . {subnet}" for subnet in subnets]
        found[f"wardian-subnets{version}"] = subnets
        found[f"wardian-guarded{version}"] = families.guarded(network, version)
        found[f"wardian-masquerade{version}"] = masqueraded = families.masqueraded(network, version)
        if source := families.source(network, version):
            found[f"wardian-source{version}"] = [f"{subnet} : {source}" for subnet in masqueraded]
        for name, has in (
            ("wardian-outward", families.reaches_out(network, version)),
            ("wardian-unprotected", mode == "nat-unprotected" and not network.internal),
            ("wardian-routed", mode == "routed" and not network.internal),
        ):
            if has:
                found.setdefault(name, []).append(pair)
    return found


def of_transit(transit: Transit) -> Elements:
    """The elements that forbid it."""
    return {
        "wardian-no-transit": [f"ipv{version}" for version in sorted(transit.families)],
        "wardian-others": [f'"{name}"' for name in transit.others if families.is_link(name)],
        "wardian-bridged": [f'"{name}" . "{name}"' for name in transit.bridges if families.is_link(name)],
    }


def without(given: Elements, less: Elements) -> Elements:
    """Those of one that are not in the other."""
    return {name: [one for one in found if one not in less.get(name, ())] for name, found in given.items()}


def of_short_ways(ways: Iterable[ShortWay]) -> Elements:
    found: dict[str, list[str]] = {}
    for way in sorted(ways):
        version = ipaddress.ip_address(way.address).version
        found.setdefault(f"wardian-short{version}", []).append(f"{way.address} . {way.subnet}")
    return found


def of_port(port: PortRule, network: NetworkRules | None) -> Elements:
    """The element of one published port; none where no rule can lead: the supervisor relays there."""
    version = families.family_of(port)
    target = f"{port.address} . {port.port}"
    if network is not None and version and families.mode(network, version) == "routed":
        return {f"wardian-open{version}": [f"{port.address} . {port.protocol} . {port.port}"]}
    if not version or (version == 6 and families.is_loopback(port)):
        return {}  # what is sent to ::1 can be translated, but the answer is dropped: a client would time out
    host = f"{port.protocol} . {port.host_port}"
    if port.host_ip in families.ANY:
        found = {f"wardian-any{version}": [f"{host} : {target}"]}
        met = {f"wardian-met{version}": [f'"{port.link}" . {host}']}
    else:
        name = "wardian-loopback4" if families.is_loopback(port) else f"wardian-ports{version}"
        found = {name: [f"{port.host_ip} . {host} : {target}"]}
        met = {f"wardian-met-at{version}": [f'"{port.link}" . {port.host_ip} . {host}']}
    return found | met if families.relayed_within(port, network) else found


def _commands(verb: str, bridge: str, given: Elements) -> str:
    table = table_name(bridge)
    lines = (f"{verb} element inet {table} {name} {{ {', '.join(found)} }}\n" for name, found in given.items() if found)
    return "".join(lines)
