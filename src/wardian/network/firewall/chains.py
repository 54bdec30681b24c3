"""The rules of one engine in iptables' chains, as text: Docker's chains, for hosts that steer by those.

The chains are shared: a Docker beside us uses the same names, an administrator writes into DOCKER-USER. So a rule of
ours is known by its comment, only such are added and removed, and a chain that was there stays. One that we made holds
a rule without a target that says so; it goes when nothing but that is left in it.

What is said here is said once for IPv4 and once for IPv6 (`version`), in the words in which iptables-save(8) prints it.

    filter FORWARD → DOCKER-USER                the administrator's
                   → DOCKER-FORWARD → DOCKER-CT          answers
                                    → DOCKER-INTERNAL    nothing in or out of internal networks
                                    → DOCKER-BRIDGE → DOCKER   published ports, and the end of what else comes in
                                    the way outward, and within a network
                   → WARDIAN-TRANSIT           the end of what concerns no network, where we turned forwarding on
    nat PREROUTING, OUTPUT → DOCKER             published ports; those of 127.0.0.0/8 in WARDIAN-LOOPBACK, from OUTPUT
    nat POSTROUTING → WARDIAN-POSTROUTING       masquerade
    raw PREROUTING                              what must not come from a link
"""

import ipaddress
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from wardian.network.firewall import families
from wardian.network.firewall.contract import Transit, Wanted
from wardian.network.firewall.foreign import mark
from wardian.network.values import NetworkRules, PortRule, ShortWay

MADE = "wardian made this chain"
_LOCAL = "-m addrtype --dst-type LOCAL"
_LOOPBACK = {4: "127.0.0.0/8", 6: "::1/128"}


class Rule(NamedTuple):
    """`top`: it goes before what is in the chain, else behind it."""

    table: str
    chain: str
    match: str
    target: str
    top: bool = False

    def text(self, bridge: str) -> str:
        """The rule's specification, marked."""
        words = (self.match, f'-m comment --comment "{mark(bridge)}"', f"-j {self.target}")
        return " ".join(filter(None, words))


class Saved(NamedTuple):
    """What iptables-save prints of a table: chains of users, and rules without `-A`, by chain in their order."""

    chains: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]


def parse_saved(text: str) -> dict[str, Saved]:
    """iptables-save(8), by table."""
    found: dict[str, tuple[list[str], list[tuple[str, str]]]] = {}
    current: tuple[list[str], list[tuple[str, str]]] = ([], [])
    for line in text.splitlines():
        if line.startswith("*"):
            current = found.setdefault(line[1:].strip(), ([], []))
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            if policy == "-":
                current[0].append(name)
        elif line.startswith("-A "):
            chain, _, rule = line[3:].partition(" ")
            current[1].append((chain, rule))
    return {table: Saved(tuple(chains), tuple(rules)) for table, (chains, rules) in found.items()}


def is_ours(rule: str, bridge: str) -> bool:
    return f'--comment "{mark(bridge)}"' in rule


def wanted_rules(wanted: Wanted, version: int) -> list[Rule]:
    """All rules of an engine, for one family, in the order in which they are to be written."""
    found = _frame(version)
    for network in wanted.networks.values():
        found += of_network(network, version)
    found += of_short_ways(wanted.short, version)
    for port in wanted.ports:
        found += of_port(port, wanted.networks.get(port.link), version)
    return found + of_transit(wanted.transit, version)


def of_short_ways(ways: Iterable[ShortWay], version: int) -> list[Rule]:
    """Before what keeps the client's address."""
    return [
        Rule(
            "nat",
            "WARDIAN-POSTROUTING",
            f"-s {way.subnet} -d {way.address}/{32 if version == 4 else 128} -m conntrack --ctstate DNAT",
            "MASQUERADE",
            top=True,
        )
        for way in sorted(ways)
        if ipaddress.ip_address(way.address).version == version
    ]


def of_transit(transit: Transit, version: int) -> list[Rule]:
    """At the end of FORWARD, where all that concerns us has been decided, and what others let pass has passed."""
    if version not in transit.families:
        return []
    within = [f"-i {name} -o {name}" for name in transit.bridges if families.is_link(name)]
    return [
        Rule("filter", "FORWARD", "", "WARDIAN-TRANSIT"),
        *(Rule("filter", "WARDIAN-TRANSIT", match, "RETURN", top=True) for match in within),
        Rule("filter", "WARDIAN-TRANSIT", "", "DROP"),
    ]


def of_network(network: NetworkRules, version: int) -> list[Rule]:
    """The rules of one network."""
    link = families.check_link(network.link)
    outward = families.reaches_out(network, version)
    here, within = f"-i {link} ! -o {link}", f"-i {link} -o {link}"
    found = [
        Rule("filter", "DOCKER-CT", f"-o {link} -m conntrack --ctstate RELATED,ESTABLISHED", "ACCEPT"),
        Rule("filter", "DOCKER-BRIDGE", f"-o {link}", "DOCKER"),
        Rule("filter", "WARDIAN-APART", f"-i {link}", "DROP"),
        Rule("filter", "DOCKER-FORWARD", within, "ACCEPT" if network.icc else "DROP"),
        *_inward(network, link, version),
        *_translated(network, link, version),
    ]
    if outward:
        found.append(Rule("filter", "DOCKER-FORWARD", here, "ACCEPT"))
    else:
        found.append(Rule("filter", "DOCKER-INTERNAL", here, "DROP"))
        found.append(Rule("filter", "DOCKER-INTERNAL", f"! -i {link} -o {link}", "DROP"))
    for subnet in families.guarded(network, version):
        # After those by which our own links come first: see `table`, chain wardian-raw.
        found.append(Rule("raw", "WARDIAN-GUARD", f"-d {subnet} ! -i {link}", "DROP"))
        found.append(Rule("raw", "WARDIAN-SOURCE", f"-s {subnet} ! -i {link}", "DROP"))
    found.append(Rule("raw", "WARDIAN-GUARD", f"-i {link}", "RETURN", top=True))
    return found


def _inward(network: NetworkRules, link: str, version: int) -> list[Rule]:
    """What may come in besides published ports, which stand before: and then nothing."""
    mode, there = families.mode(network, version), f"! -i {link} -o {link}"
    found = []
    if mode == "routed" and not network.internal:
        found.append(Rule("filter", "DOCKER", f"-o {link} -p {'icmp' if version == 4 else 'ipv6-icmp'}", "ACCEPT"))
    if mode == "nat-unprotected" and not network.internal:
        found.append(Rule("filter", "DOCKER", there, "WARDIAN-APART"))
        return [*found, Rule("filter", "DOCKER", there, "ACCEPT")]
    return [*found, Rule("filter", "DOCKER", there, "DROP")]


def _translated(network: NetworkRules, link: str, version: int) -> list[Rule]:
    """Towards our links the client's address is kept; see `table` for the exceptions."""
    chain = "WARDIAN-POSTROUTING"
    found = [Rule("nat", chain, f"-o {link}", "RETURN", top=True)]
    for subnet in families.subnets(network, version):
        returning = f"-s {subnet} -o {link} -m conntrack --ctstate DNAT"
        found.append(Rule("nat", chain, returning, "MASQUERADE", top=True))
    if version == 4:
        found.append(Rule("nat", chain, f"-s {_LOOPBACK[4]} -o {link}", "MASQUERADE", top=True))
    source = families.source(network, version)
    target = f"SNAT --to-source {source}" if source else "MASQUERADE"
    return found + [Rule("nat", chain, f"-s {subnet}", target) for subnet in families.masqueraded(network, version)]


def of_port(port: PortRule, network: NetworkRules | None, version: int) -> list[Rule]:
    """The rules of one published port; none where no rule can lead."""
    if families.family_of(port) != version:
        return []
    routed = network is not None and families.mode(network, version) == "routed"
    host = f"-p {port.protocol} -m {port.protocol} --dport {port.host_port}"
    inside = f"-d {port.address}/{32 if version == 4 else 128} -o {port.link}"
    inside += f" -p {port.protocol} -m {port.protocol} --dport {port.port}"
    if routed:
        return [Rule("filter", "DOCKER", inside, "ACCEPT", top=True)]
    if version == 6 and families.is_loopback(port):
        return []
    target = f"DNAT --to-destination {port.address if version == 4 else f'[{port.address}]'}:{port.port}"
    found = [Rule("filter", "DOCKER", f"{inside} -m conntrack --ctstate DNAT", "ACCEPT", top=True)]
    within = f"-i {port.link} {host}" if families.relayed_within(port, network) else ""
    if port.host_ip in families.ANY:
        found.append(Rule("nat", "DOCKER", host, target, top=True))
        if version == 4:
            found.append(Rule("nat", "WARDIAN-LOOPBACK", host, target))
        at = ""
    else:
        chain = "WARDIAN-LOOPBACK" if families.is_loopback(port) else "DOCKER"
        at = f"-d {port.host_ip}/{32 if version == 4 else 128} "
        found.append(Rule("nat", chain, f"{at}{host}", target, top=True))
    if within:  # see `table`, wardian-met
        found.append(Rule("nat", "DOCKER", f"{at}{within}", "RETURN", top=True))
    return found


def _frame(version: int) -> list[Rule]:
    """The jumps by which packets come into the chains. In each chain from the last to the first, as each goes to its
    top: a Docker that was there first keeps its own jumps behind ours.
    """
    found = [
        Rule("filter", "FORWARD", "", "DOCKER-FORWARD", top=True),
        Rule("filter", "FORWARD", "", "DOCKER-USER", top=True),
        Rule("filter", "DOCKER-FORWARD", "", "DOCKER-BRIDGE", top=True),
        Rule("filter", "DOCKER-FORWARD", "", "DOCKER-INTERNAL", top=True),
        Rule("filter", "DOCKER-FORWARD", "", "DOCKER-CT", top=True),
        Rule("nat", "PREROUTING", _LOCAL, "DOCKER"),
        Rule("nat", "OUTPUT", f"! -d {_LOOPBACK[version]} {_LOCAL}", "DOCKER"),
        Rule("nat", "POSTROUTING", "", "WARDIAN-POSTROUTING", top=True),
        Rule("raw", "PREROUTING", "! -i lo", "WARDIAN-GUARD", top=True),
        Rule("raw", "PREROUTING", "! -i lo", "WARDIAN-SOURCE", top=True),
        Rule("raw", "PREROUTING", f"-d {_LOOPBACK[version]} ! -i lo", "DROP", top=True),
        # With route_localnet, which our bridges have, the kernel itself takes such a source from them.
        Rule("raw", "PREROUTING", f"-s {_LOOPBACK[version]} ! -i lo", "DROP", top=True),
    ]
    if version == 4:
        # A Docker's rules in DOCKER are not meant for 127.0.0.0/8, so ours for that stand apart.
        found.append(Rule("nat", "OUTPUT", f"-d {_LOOPBACK[4]} {_LOCAL}", "WARDIAN-LOOPBACK"))
    return found


def restore(saved: Mapping[str, Saved], rules: Sequence[Rule], bridge: str) -> str:
    """Input for `iptables-restore --noflush`, after which our rules are these, whatever ours were there before.

    A chain is declared only where there is none: declaring one that is there would empty it. Each table is one commit.
    """
    tables = {rule.table for rule in rules} | {table for table in saved if _has_ours(saved[table], bridge)}
    return "".join(_restore_table(table, saved.get(table), rules, bridge) for table in sorted(tables))


def edit(rules: Sequence[Rule], bridge: str, adding: bool) -> str:
    """Input for `iptables-restore --noflush` that adds these rules, whose chains are there, or takes them away."""
    lines = []
    for table in sorted({rule.table for rule in rules}):
        verbs = [("I" if rule.top else "A") if adding else "D" for rule in rules if rule.table == table]
        texts = [f"{rule.chain} {rule.text(bridge)}" for rule in rules if rule.table == table]
        lines += [f"*{table}", *(f"-{verb} {text}" for verb, text in zip(verbs, texts, strict=True)), "COMMIT\n"]
    return "\n".join(lines).replace("\n\n", "\n")


def commits(text: str) -> int:
    """How many transactions a restore is."""
    return text.count("COMMIT\n")


def _restore_table(table: str, saved: Saved | None, rules: Sequence[Rule], bridge: str) -> str:
    chains = saved.chains if saved else ()
    new = [rule for rule in rules if rule.table == table]
    needed = dict.fromkeys(
        name for rule in new for name in (rule.chain, rule.target) if name.startswith(("DOCKER", "WARDIAN"))
    )
    made = [name for name in needed if name not in chains]
    lines = [f":{name} - [0:0]" for name in made]
    lines += [f'-A {name} -m comment --comment "{MADE}"' for name in made]
    lines += [f"-D {chain} {rule}" for chain, rule in (saved.rules if saved else ()) if is_ours(rule, bridge)]
    lines += [f"-{'I' if rule.top else 'A'} {rule.chain} {rule.text(bridge)}" for rule in new]
    if saved and not new:
        lines += _unmade(saved, bridge)
    return "\n".join([f"*{table}", *lines, "COMMIT\n"])


def _unmade(saved: Saved, bridge: str) -> list[str]:
    """The commands that take away the chains of ours in which nothing is left, and to which nobody else jumps."""
    others = [(chain, rule) for chain, rule in saved.rules if not is_ours(rule, bridge)]
    made = {chain for chain, rule in others if f'--comment "{MADE}"' in rule}
    full = {chain for chain, rule in others if f'--comment "{MADE}"' not in rule}
    led_to = {target_of(rule) for _, rule in others}
    empty = [name for name in saved.chains if name in made and name not in full | led_to]
    return [f"-F {name}" for name in empty] + [f"-X {name}" for name in empty]


def _has_ours(saved: Saved, bridge: str) -> bool:
    return any(is_ours(rule, bridge) for _, rule in saved.rules)


def target_of(rule: str) -> str:
    """The chain or target to which a rule leads; "" without one."""
    words = shlex.split(rule)
    return next((words[at + 1] for at in range(len(words) - 1) if words[at] in ("-j", "-g")), "")


def standing(saved: Mapping[str, Saved], rules: Sequence[Rule], bridge: str) -> bool:
    """Whether the kernel has as many rules of ours in each chain as there should be."""
    there = sorted((table, chain) for table in saved for chain, rule in saved[table].rules if is_ours(rule, bridge))
    return there == sorted((rule.table, rule.chain) for rule in rules)
