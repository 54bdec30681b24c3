"""The firewall by nf_tables: one table of our own, changed by elements, and marked rules where others drop."""

import logging
from collections.abc import Sequence

from wardian.errors import WardianError
from wardian.kernel import nftset
from wardian.kernel.nftables import Change, Nftables, open_nftables
from wardian.network.firewall import table
from wardian.network.firewall.changes import Changes
from wardian.network.firewall.contract import ALL_PASSES, Transit, Wanted, wanted
from wardian.network.firewall.foreign import ForeignChains
from wardian.network.values import NetworkRules, PortRule, PortWant, ShortWay

log = logging.getLogger(__name__)
_TRIES = 5


class NftFirewall:
    """See `Firewall`. `bridge` is the default bridge's name, after which the table is called."""

    def __init__(
        self, bridge: str, respect: bool = False, nft: Nftables | None = None, transit: Transit = ALL_PASSES
    ) -> None:
        self._bridge = bridge
        self._table = table.table_name(bridge)
        self._nft = nft or open_nftables()
        self._foreign = ForeignChains(self._nft, bridge, respect)
        try:
            self._changes = Changes(self._is_own, self._foreign.watches)
        except BaseException:
            self._nft.close()
            raise
        self._set_elements = nftset.SetElements()
        self._wanted = wanted((), (), transit)
        self._ended = False  # all was taken back: nothing is put back

    @property
    def warnings(self) -> list[str]:
        return self._foreign.warnings

    def apply(self, networks: Sequence[NetworkRules], ports: Sequence[PortRule]) -> None:
        self._make(self._wanted.anew(networks, ports))

    def add_network(self, network: NetworkRules) -> None:
        after = self._wanted.copy()
        after.networks[network.link] = network
        if self._wanted.networks.get(network.link) == network:
            return
        if network.link in self._wanted.networks:
            self._make(after)
        else:
            self._change(after, table.add(self._bridge, table.of_network(network)))

    def remove_network(self, link: str) -> None:
        if link in self._wanted.networks:
            after = self._wanted.without(link)
            ports = [port for port in self._wanted.ports if port.link == link]
            gone = wanted([self._wanted.networks[link]], ports)
            self._change(after, table.delete(self._bridge, table.elements(gone)))

    def add_ports(self, ports: Sequence[PortRule]) -> None:
        after = self._wanted.copy()
        new = [port for port in ports if port not in after.ports]
        after.ports.update(dict.fromkeys(new))
        self._lead(after, nftset.ADD, new)

    def remove_ports(self, ports: Sequence[PortRule]) -> None:
        after = self._wanted.copy()
        old = [port for port in dict.fromkeys(ports) if port in after.ports]
        for port in old:
            del after.ports[port]
        self._wanted = after
        try:
            self._lead(after, nftset.DELETE, old)
        except WardianError as error:  # their addresses are free in a moment: whatever is made next mends first
            self._changes.doubt()
            log.warning("published ports are not taken out yet: %s", error)

    def know_short_ways(self, ways: frozenset[ShortWay]) -> None:
        before = self._wanted.short
        gone, come = table.of_short_ways(before - ways), table.of_short_ways(ways - before)
        self._change(
            self._wanted._replace(short=ways), table.delete(self._bridge, gone) + table.add(self._bridge, come)
        )

    def forbid_transit(self, transit: Transit) -> None:
        before, after = table.of_transit(self._wanted.transit), table.of_transit(transit)
        gone, come = table.without(before, after), table.without(after, before)
        self._change(
            self._wanted._replace(transit=transit), table.delete(self._bridge, gone) + table.add(self._bridge, come)
        )

    def exposures(self, ports: Sequence[PortWant]) -> list[str]:
        return self._foreign.exposures(ports)

    def mend(self) -> bool:
        if self._ended or self._changes.quiet():
            return False
        touched = self._changes.take()
        try:
            if touched.own:
                self._run(table.whole(self._bridge, self._wanted))
            mended = touched.foreign and self._foreign.mend(self._run)
        except BaseException:
            self._changes.doubt()
            raise
        return touched.own or mended

    def remove(self, but_transit: bool = False) -> None:
        """In one transaction: no engine that is killed in it leaves a rule with others, and no table to tell of it."""
        rest = wanted((), (), self._wanted.transit)
        own = table.whole(self._bridge, rest) if but_transit else table.remove(self._bridge)
        self._ended = True
        for left in reversed(range(_TRIES)):
            try:
                self._run(self._foreign.removals() + own)
                break
            except WardianError:  # somebody made a chain of theirs anew between look and change
                if not left:
                    raise
        self._wanted = rest

    def describe(self, port: PortRule) -> str:
        for name, found in self._elements([port]).items():
            kind = "set" if name.startswith("wardian-open") else "map"
            return f"nft: {found[0]} in the {kind} {name} of table inet {self._table}"
        return f"no rule: [{port.host_ip}]:{port.host_port} is relayed by the container's supervisor"

    def describe_network(self, link: str) -> list[str]:
        if link not in self._wanted.networks:
            return []
        given = table.of_network(self._wanted.networks[link])
        return [f"nft: {one} in the set {name} of table inet {self._table}" for name in given for one in given[name]]

    def fileno(self) -> int:
        return self._changes.fileno()

    def settled(self) -> bool:
        return self._changes.settled()

    def close(self) -> None:
        self._changes.close()
        self._set_elements.close()
        self._nft.close()

    def _elements(self, ports: Sequence[PortRule]) -> table.Elements:
        return table.merged(table.of_port(port, self._wanted.networks.get(port.link)) for port in ports)

    def _is_own(self, change: Change) -> bool:
        return change.family == "inet" and change.table == self._table

    def _make(self, after: Wanted) -> None:
        """The whole anew. What others changed until now is answered with it."""
        self._ended = False
        with self._changes.answered():
            self._run(table.whole(self._bridge, after))
        self._wanted = after
        try:
            self._foreign.mend(self._run)
        except WardianError:  # a chain that went between look and change: its going is told, and looked at then
            self._changes.doubt()

    def _change(self, after: Wanted, commands: str) -> None:
        """A part; when the kernel does not have what we think it has, the whole."""
        if commands:
            try:
                self._run(commands)
            except WardianError:
                self._make(after)
        self._wanted = after

    def _lead(self, after: Wanted, verb: str, ports: Sequence[PortRule]) -> None:
        """Elements of ports: on the way of `run`, so without nft's grammar and its look at what is there."""
        given = self._elements(ports)
        if given:
            try:
                with self._changes.ours():
                    self._set_elements.change(verb, self._table, given)
            except WardianError:
                self._make(after)
        self._wanted = after

    def _run(self, commands: str) -> None:
        with self._changes.ours():
            self._nft.run(commands)
