"""The default bridge's rules: one nft table of our own, and the rules that another firewall's forward chain needs.

Everything of an engine is in the table `inet wardian-BRIDGE`: several engines coexist, and one delete removes it all.

A packet that one base chain accepts still goes through every other base chain of that hook, and any may drop it.
Docker sets the policy of `ip filter FORWARD` to DROP; so do ufw and others. An accept in our table cannot undo that.
There, and only there, two marked rules go into that chain, one for each direction, at its end: behind Docker's jumps,
not in DOCKER-USER, where an accept would end the chain before Docker's own rules have kept its networks apart from
ours, and before the rules that people keep there. They are recognised by their comment; nothing of that chain is
otherwise touched. What they let in, our own table still judges: nothing from outside reaches a container unasked.
"""

from typing import Any, NamedTuple

from wardian.kernel.nftables import Nftables

FOREIGN_TABLE, FOREIGN_CHAIN = "filter", "FORWARD"


def table_name(bridge: str) -> str:
    return f"wardian-{bridge}"


def own_table(bridge: str, subnet: str) -> str:
    """The commands that make our table as it must be, whatever was there: one transaction."""
    table = table_name(bridge)
    return f"""
add table inet {table}
delete table inet {table}
table inet {table} {{
    chain wardian-forward {{
        type filter hook forward priority filter; policy accept;
        oifname "{bridge}" ct state established,related accept
        iifname "{bridge}" accept
        oifname "{bridge}" drop
    }}
    chain wardian-postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {subnet} oifname != "{bridge}" masquerade
    }}
}}
"""


def remove_own_table(bridge: str) -> str:
    """`add` first: deleting a table that is not there would be refused."""
    table = table_name(bridge)
    return f"add table inet {table}\ndelete table inet {table}\n"


class Dropping(NamedTuple):
    """A base chain of somebody else that drops forwarded packets by policy."""

    family: str
    table: str
    chain: str

    @property
    def mendable(self) -> bool:
        """Whether it is the chain of iptables (Docker's, ufw's), into which our marked rules may go."""
        return self == Dropping("ip", FOREIGN_TABLE, FOREIGN_CHAIN)

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.chain}"


def dropping_chains(chains: list[dict[str, Any]]) -> list[Dropping]:
    """Who drops forwards, from the answer to `list chains`. IPv6 tables do not concern an IPv4 bridge."""
    found = []
    for entry in chains:
        chain = entry.get("chain", {})
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and chain["family"] in ("ip", "inet"):
            found.append(Dropping(chain["family"], chain["table"], chain["name"]))
    return found


def marker(bridge: str) -> str:
    return f"wardian: bridge {bridge}"


def foreign_handles(rules: list[dict[str, Any]], bridge: str) -> list[int]:
    """The handles of our marked rules among those of a chain."""
    found = (entry["rule"] for entry in rules if "rule" in entry)
    return [int(rule["handle"]) for rule in found if rule.get("comment") == marker(bridge)]


def foreign_rules(rules: list[dict[str, Any]], bridge: str) -> str:
    """The commands that bring both rules to the chain's end, or before a last rule that stops all the rest."""
    last = next((entry["rule"] for entry in reversed(rules) if "rule" in entry), None)
    if last is not None and _stops_all(last["expr"]):
        where = f"insert rule ip {FOREIGN_TABLE} {FOREIGN_CHAIN} handle {last['handle']}"
    else:
        where = f"add rule ip {FOREIGN_TABLE} {FOREIGN_CHAIN}"
    mark = marker(bridge)
    return "".join(
        f'{where} {direction} "{bridge}" counter accept comment "{mark}"\n' for direction in ("iifname", "oifname")
    )


def _stops_all(expressions: list[dict[str, Any]]) -> bool:
    """Whether a rule drops or rejects without a condition."""
    names = {name for expression in expressions for name in expression}
    return bool(names & {"drop", "reject"}) and names <= {"counter", "drop", "reject"}


def legacy_filter_in_use() -> bool:
    """Whether ip_tables, the interface before nf_tables, has a filter table in this thread's network namespace."""
    try:
        with open("/proc/thread-self/net/ip_tables_names") as file:
            return "filter" in file.read().split()
    except OSError:
        return False


class Firewall:
    """A bridge's rules in the kernel. Called from one thread at a time, in the network namespace of `nft`."""

    def __init__(self, nft: Nftables, bridge: str) -> None:
        self._nft = nft
        self._bridge = bridge
        self.warnings: list[str] = []

    def apply(self, subnet: str) -> None:
        """Make all rules as they must be. Idempotent: rules that stand are not doubled, flushed ones come back."""
        self._nft.run(own_table(self._bridge, subnet))
        self.mend_foreign()

    def mend(self, subnet: str) -> None:
        """Look whether the rules still stand, and put back what somebody flushed."""
        if self.stands():
            self.mend_foreign()
        else:
            self.apply(subnet)

    def mend_foreign(self) -> None:
        """Put the marked rules where they are needed, and say in `warnings` what was done or could not be."""
        self.warnings = []
        dropping = [c for c in dropping_chains(self._nft.query("list chains")) if c.table != table_name(self._bridge)]
        for chain in dropping:
            if not chain.mendable:
                self.warnings.append(
                    f"the firewall's chain {chain} drops forwarded packets: containers on {self._bridge} have no way "
                    f"outward until it accepts packets from and to {self._bridge}"
                )
                continue
            rules = self._foreign_list()
            if not foreign_handles(rules, self._bridge):
                self._nft.run(foreign_rules(rules, self._bridge))
            self.warnings.append(
                f"the chain {chain} drops forwarded packets (Docker and ufw set it so): two rules marked "
                f'"{marker(self._bridge)}" were added at its end, and go with the bridge'
            )

        if legacy_filter_in_use():
            self.warnings.append(
                "the legacy iptables table filter is in use, which nftables cannot see: if its FORWARD chain drops, "
                f"add `iptables-legacy -A FORWARD -i {self._bridge} -j ACCEPT`, and the same with -o"
            )

    def remove(self) -> None:
        """Take back everything that `apply` made."""
        self._nft.run(remove_own_table(self._bridge))
        if any("chain" in entry and _is_foreign(entry["chain"]) for entry in self._nft.query("list chains")):
            for handle in foreign_handles(self._foreign_list(), self._bridge):
                self._nft.run(f"delete rule ip {FOREIGN_TABLE} {FOREIGN_CHAIN} handle {handle}\n")

    def stands(self) -> bool:
        """Whether our table is there."""
        tables = (entry["table"] for entry in self._nft.query("list tables") if "table" in entry)
        return any(t["family"] == "inet" and t["name"] == table_name(self._bridge) for t in tables)

    def _foreign_list(self) -> list[dict[str, Any]]:
        return self._nft.query(f"list chain ip {FOREIGN_TABLE} {FOREIGN_CHAIN}")


def _is_foreign(chain: dict[str, Any]) -> bool:
    return (chain["family"], chain["table"], chain["name"]) == ("ip", FOREIGN_TABLE, FOREIGN_CHAIN)
