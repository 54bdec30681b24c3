"""Chains of somebody else that drop what is forwarded, and the one rule of ours that goes into each.

A base chain with the policy drop (Docker's and ufw's `ip filter FORWARD`), or with a last rule that drops all the rest
(firewalld's `filter_FORWARD`), stops our containers whatever our own table says. There, and only there, one rule goes
in: it accepts what our table accepted, which it knows by one bit of the packet's mark, and nothing else. It stands at
the chain's end, or before what stops all the rest: whatever that firewall decided by a rule has been decided by then
(docs/decisions/0005 says why not in DOCKER-USER). It is known by its comment and goes with the engine.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.errors import WardianError
from wardian.kernel.nftables import Change, Nftables
from wardian.network.firewall.exposure import exposures, walls
from wardian.network.firewall.table import ACCEPTED, FORWARD_PRIORITY
from wardian.network.values import PortWant

Rule = Mapping[str, Any]
_MATCH = f"meta mark & {ACCEPTED:#x} == {ACCEPTED:#x}"
_STOPS = {"drop", "reject"}


class Chain(NamedTuple):
    """A base chain at the hook forward, and its rules as libnftables-json(5) writes them."""

    family: str
    table: str
    name: str
    priority: int
    policy: str
    rules: tuple[Rule, ...] = ()

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class Forwarding(NamedTuple):
    """What can drop forwarded packets on this host, and what its chains jump to: (family, table, chain) → rules.

    `walls` are the firewalls that filter what comes in."""

    chains: tuple[Chain, ...]
    jumped: Mapping[tuple[str, str, str], Sequence[Rule]]
    walls: tuple[str, ...] = ()


def mark(bridge: str) -> str:
    """The comment by which an engine knows its rules."""
    return f"wardian: {bridge}"


def base_chains(listed: list[dict[str, Any]]) -> list[Chain]:
    """Others' base chains at the hook forward, from the answer to `list chains`. Engines' own tables are no others:
    each judges its own links only."""
    found = []
    for entry in listed:
        one = entry.get("chain", {})
        if one.get("hook") != "forward" or one.get("family") not in ("ip", "ip6", "inet"):
            continue
        if one["table"].startswith("wardian-"):
            continue
        found.append(Chain(one["family"], one["table"], one["name"], int(one["prio"]), one.get("policy", "accept")))
    return found


def is_ours(rule: Rule, bridge: str) -> bool:
    return rule.get("comment") == mark(bridge)


def stop_of(chain: Chain, jumped: Mapping[tuple[str, str, str], Sequence[Rule]]) -> Rule | None:
    """The first rule of the chain that stops all the rest: without a condition, itself or in a chain to which it leads
    (ufw's `ufw-reject-forward`)."""
    for rule in chain.rules:
        if _stops_all(rule):
            return rule
        target = _leads_to(rule)
        if target and any(_stops_all(one) for one in jumped.get((chain.family, chain.table, target), ())):
            return rule
    return None


def drops(chain: Chain, jumped: Mapping[tuple[str, str, str], Sequence[Rule]]) -> bool:
    return chain.policy == "drop" or stop_of(chain, jumped) is not None


def mendable(chain: Chain) -> bool:
    """Whether it comes after ours, so that our mark is seen."""
    return chain.priority > FORWARD_PRIORITY


def insertion(chain: Chain, jumped: Mapping[tuple[str, str, str], Sequence[Rule]], bridge: str) -> str:
    """The command that puts our rule in; "" when it is where it belongs."""
    stop = stop_of(chain, jumped)
    before = chain.rules if stop is None else chain.rules[: chain.rules.index(stop)]
    if any(is_ours(rule, bridge) for rule in before):
        return ""
    where = f"add rule {chain}" if stop is None else f"insert rule {chain} handle {stop['handle']}"
    return f'{where} {_MATCH} counter accept comment "{mark(bridge)}"\n'


def removals(chains: Sequence[Chain], bridge: str) -> str:
    return "".join(
        f"delete rule {chain} handle {rule['handle']}\n"
        for chain in chains
        for rule in chain.rules
        if is_ours(rule, bridge)
    )


def said(chain: Chain, bridge: str, respect: bool) -> str:
    """What `info` says of a chain that drops."""
    drop = f"the firewall's chain {chain} drops forwarded packets"
    if respect:
        return (
            f"{drop}: as --respect-host-firewall asks, nothing was added there; containers on {bridge} and other "
            "networks reach out, and published ports are reached, only as far as it allows"
        )
    if not mendable(chain):
        return (
            f"{drop} before Wardian's table (its priority is {chain.priority}): containers have no way outward "
            f"until it accepts packets from and to {bridge}"
        )
    return (
        f'{drop} (Docker, ufw and firewalld set it so): one rule marked "{mark(bridge)}" was added there; it accepts '
        "what Wardian's own table has accepted, and goes with the engine"
    )


def said_beside_iptables(chain: Chain) -> str:
    """What `info` says of it when our rules are in iptables' chains."""
    return (
        f"the firewall's chain {chain} drops forwarded packets: containers reach out, and published ports are reached, "
        "only as far as it allows; with the firewall backend nftables Wardian would add a rule there"
    )


LEGACY = (
    "the legacy iptables table filter is in use, which nftables cannot see: if its FORWARD chain drops, add "
    f"`iptables-legacy -A FORWARD -m mark --mark {ACCEPTED:#x}/{ACCEPTED:#x} -j ACCEPT`"
)


def legacy_filter_in_use() -> bool:
    """Whether ip_tables, the interface before nf_tables, has a filter table in this thread's network namespace."""
    try:
        with open("/proc/thread-self/net/ip_tables_names") as file:
            return "filter" in file.read().split()
    except OSError:
        return False


class ForeignChains:
    """Our marked rules in the chains of others. `respect`: they are only reported."""

    def __init__(self, nft: Nftables, bridge: str, respect: bool) -> None:
        self._nft = nft
        self._bridge = bridge
        self._respect = respect
        self.warnings: list[str] = []
        self._walls: tuple[str, ...] = ()
        self._watched: frozenset[tuple[str, str, str]] = frozenset()
        self._judged = False

    def mend(self, run: Callable[[str], None]) -> bool:
        """Put the rules where they are needed, by `run`; True when there was one to put. `warnings` say what is so."""
        found = read_forwarding(self._nft)
        dropping = [chain for chain in found.chains if drops(chain, found.jumped)]
        self._watched = frozenset((chain.family, chain.table, chain.name) for chain in found.chains)
        self._walls, self._judged = found.walls, self._respect and bool(dropping)
        self.warnings = [said(chain, self._bridge, self._respect) for chain in dropping]
        if legacy_filter_in_use():
            self.warnings.append(LEGACY)
        if self._respect:
            commands = removals(found.chains, self._bridge)
        else:
            commands = "".join(insertion(one, found.jumped, self._bridge) for one in dropping if mendable(one))
        if commands:
            run(commands)
        return bool(commands)

    def watches(self, change: Change) -> bool:
        """Whether it is in one of the base chains that were there when last looked at."""
        return (change.family, change.table, change.chain) in self._watched

    def exposures(self, ports: Sequence[PortWant]) -> list[str]:
        """What others reach despite this host's firewalls, as they were when last looked at."""
        return exposures(ports, self._walls, self._judged)

    def removals(self) -> str:
        """The commands that take all of them back."""
        return removals(read_forwarding(self._nft).chains, self._bridge)


def read_forwarding(nft: Nftables) -> Forwarding:
    """What there is now."""
    listed = nft.query("list chains")
    chains, jumped = [], {}
    for chain in base_chains(listed):
        rules = _read_rules(nft, chain.family, chain.table, chain.name)
        chains.append(chain._replace(rules=tuple(rules)))
        for target in filter(None, map(_leads_to, rules)):
            jumped[chain.family, chain.table, target] = _read_rules(nft, chain.family, chain.table, target)
    return Forwarding(tuple(chains), jumped, walls(listed))


def _read_rules(nft: Nftables, family: str, table: str, chain: str) -> list[Rule]:
    """A chain that went while it was read is as one without rules; one that is there and is not read may have ours."""
    try:
        listed = nft.query(f"list chain {family} {table} {chain}")
    except WardianError:
        there = (entry.get("chain", {}) for entry in nft.query("list chains"))
        if any((one.get("family"), one.get("table"), one.get("name")) == (family, table, chain) for one in there):
            raise
        return []
    return [entry["rule"] for entry in listed if "rule" in entry and entry["rule"]["chain"] == chain]


def _names(rule: Rule) -> set[str]:
    return {name for expression in rule.get("expr", ()) for name in expression}


def _stops_all(rule: Rule) -> bool:
    """Whether a rule drops or rejects without a condition."""
    names = _names(rule)
    return bool(names & _STOPS) and names <= _STOPS | {"counter", "log"}


def _leads_to(rule: Rule) -> str:
    """Where a rule jumps without a condition; "" when it does not."""
    if not _names(rule) <= {"counter", "jump", "goto"}:
        return ""
    for expression in rule.get("expr", ()):
        for verb in ("jump", "goto"):
            if verb in expression:
                return str(expression[verb]["target"])
    return ""
