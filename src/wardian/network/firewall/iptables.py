"""The firewall by iptables and ip6tables: for hosts whose administrator steers by Docker's chains.

Chosen by `wardian serve --firewall-backend iptables`. Programs are started for each change, some milliseconds each.
"""

import logging
import shutil
import subprocess
from collections.abc import Sequence

from wardian.errors import SYSTEM, UNAVAILABLE, WardianError
from wardian.kernel.nftables import DEL_CHAIN, DEL_RULE, DEL_TABLE, Change, open_nftables
from wardian.network.firewall import chains, foreign
from wardian.network.firewall.changes import Changes
from wardian.network.firewall.contract import ALL_PASSES, Transit, Wanted, wanted
from wardian.network.firewall.exposure import exposures
from wardian.network.values import NetworkRules, PortRule, PortWant, ShortWay

log = logging.getLogger(__name__)

SECONDS = 20
ATTEMPTS = 5
_PREFIX = {4: "iptables", 6: "ip6tables"}
_TABLES = {"filter", "nat", "raw"}
_REMOVED = {DEL_TABLE, DEL_CHAIN, DEL_RULE}
LEGACY = (
    "iptables is the legacy one, whose kernel interface tells nobody of a change: rules of Wardian that are flushed "
    "are put back when the engine starts, not at once; update-alternatives --set iptables /usr/sbin/iptables-nft"
)
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"


class IptablesFirewall:
    """See `Firewall`. Nothing is ever added to chains of others but the jumps to Docker's and ours."""

    def __init__(self, bridge: str, transit: Transit = ALL_PASSES) -> None:
        self._bridge = bridge
        self._versions = [version for version in (4, 6) if _works(version)]
        if 4 not in self._versions:
            raise WardianError(
                UNAVAILABLE,
                "the firewall backend iptables was asked for, and iptables-save does not work here",
                operation="open the firewall",
                subject="iptables",
                hint="install iptables, or serve with --firewall-backend nftables",
            )
        self._nft = open_nftables()
        try:
            self._changes = Changes(_is_own, lambda _: False)
        except BaseException:
            self._nft.close()
            raise
        self._legacy = "legacy" in _run(["iptables", "--version"], "")
        self._wanted = wanted((), (), transit)
        self._walls: tuple[str, ...] = ()
        self._ended = False  # all was taken back: nothing is put back
        self.warnings: list[str] = []

    def apply(self, networks: Sequence[NetworkRules], ports: Sequence[PortRule]) -> None:
        with self._changes.answered():
            self._make(self._wanted.anew(networks, ports))
            self._judge_others()

    def add_network(self, network: NetworkRules) -> None:
        if self._wanted.networks.get(network.link) != network:
            after = self._wanted.copy()
            after.networks[network.link] = network
            self._make(after)

    def remove_network(self, link: str) -> None:
        if link in self._wanted.networks:
            self._make(self._wanted.without(link))

    def add_ports(self, ports: Sequence[PortRule]) -> None:
        after = self._wanted.copy()
        new = [port for port in dict.fromkeys(ports) if port not in after.ports]
        after.ports.update(dict.fromkeys(new))
        self._change(after, new, adding=True)

    def remove_ports(self, ports: Sequence[PortRule]) -> None:
        after = self._wanted.copy()
        old = [port for port in dict.fromkeys(ports) if port in after.ports]
        for port in old:
            del after.ports[port]
        self._wanted = after
        try:
            self._change(after, old, adding=False)
        except WardianError as error:
            self._changes.doubt()
            log.warning("published ports are not taken out yet: %s", error)

    def know_short_ways(self, ways: frozenset[ShortWay]) -> None:
        if ways != self._wanted.short:
            self._make(self._wanted._replace(short=ways))

    def forbid_transit(self, transit: Transit) -> None:
        before, after = self._wanted, self._wanted._replace(transit=transit)
        if any(
            chains.of_transit(before.transit, version) != chains.of_transit(transit, version)
            for version in self._versions
        ):
            self._make(after)
        self._wanted = after

    def exposures(self, ports: Sequence[PortWant]) -> list[str]:
        return exposures(ports, self._walls, forwards_judged=False)

    def mend(self) -> bool:
        if self._ended or self._changes.quiet():
            return False
        touched = self._changes.take()
        mended = False
        try:
            if touched.own and not all(self._stands(version) for version in self._versions):
                self._make(self._wanted)
                mended = True
            if touched.foreign:
                self._judge_others()
        except BaseException:
            self._changes.doubt()
            raise
        return mended

    def remove(self, but_transit: bool = False) -> None:
        self._wanted = wanted((), (), self._wanted.transit)
        self._ended = True
        for version in self._versions:
            self._make_family(version, chains.of_transit(self._wanted.transit, version) if but_transit else [])

    def describe(self, port: PortRule) -> str:
        for version in (4, 6):
            for rule in chains.of_port(port, self._wanted.networks.get(port.link), version):
                if rule.target.startswith("DNAT") or rule.table == "filter":
                    return f"{_PREFIX[version]} -t {rule.table}: {rule.chain} {rule.match} -j {rule.target}"
        return f"no rule: [{port.host_ip}]:{port.host_port} is relayed by the container's supervisor"

    def describe_network(self, link: str) -> list[str]:
        if link not in self._wanted.networks:
            return []
        return [
            f"{_PREFIX[version]} -t {rule.table}: {rule.chain} {rule.match} -j {rule.target}"
            for version in self._versions
            for rule in chains.of_network(self._wanted.networks[link], version)
        ]

    def fileno(self) -> int:
        return self._changes.fileno()

    def settled(self) -> bool:
        return self._changes.settled()

    def close(self) -> None:
        self._changes.close()
        self._nft.close()

    def _make(self, after: Wanted) -> None:
        """The whole anew, each table in one commit."""
        self._ended = False
        for version in self._versions:
            self._make_family(version, chains.wanted_rules(after, version))
        self._wanted = after

    def _make_family(self, version: int, rules: Sequence[chains.Rule]) -> None:
        """Somebody may change the chains between our look and our change: then it is refused, and looked at again."""
        for attempt in range(ATTEMPTS):
            try:
                self._restore(version, chains.restore(_save(version), rules, self._bridge))
                break
            except WardianError:
                if attempt == ATTEMPTS - 1:
                    raise

    def _change(self, after: Wanted, ports: Sequence[PortRule], adding: bool) -> None:
        """A part; when a rule is not where we think it is, the whole."""
        try:
            for version in self._versions:
                found = [chains.of_port(port, after.networks.get(port.link), version) for port in ports]
                rules = [rule for one in found for rule in one]
                self._restore(version, chains.edit(rules, self._bridge, adding))
        except WardianError:
            self._make(after)
        self._wanted = after

    def _stands(self, version: int) -> bool:
        return chains.standing(_save(version), chains.wanted_rules(self._wanted, version), self._bridge)

    def _restore(self, version: int, text: str) -> None:
        if text:
            with self._changes.ours(chains.commits(text)):
                _run([f"{_PREFIX[version]}-restore", "--noflush", "--wait"], text)

    def _judge_others(self) -> None:
        """Chains of others that drop, but for FORWARD, into which our chains are reached. They are only named: what
        iptables accepted cannot be told from what it did not there."""
        found = foreign.read_forwarding(self._nft)
        self._walls = found.walls
        dropping = [one for one in found.chains if foreign.drops(one, found.jumped) and not _is_forward(one)]
        self.warnings = [foreign.said_beside_iptables(chain) for chain in dropping]
        if self._legacy:
            self.warnings.append(LEGACY)


def _is_forward(chain: foreign.Chain) -> bool:
    return chain.family in ("ip", "ip6") and (chain.table, chain.name) == ("filter", "FORWARD")


def _is_own(change: Change) -> bool:
    """A rule of ours may be among what somebody took away; what somebody added leaves ours as they are."""
    return change.family in ("ip", "ip6") and change.table in _TABLES and change.kind in _REMOVED


def _works(version: int) -> bool:
    try:
        _save(version)
    except WardianError:
        return False
    return True


def _save(version: int) -> dict[str, chains.Saved]:
    return chains.parse_saved(_run([f"{_PREFIX[version]}-save"], ""))


def _run(command: list[str], text: str) -> str:
    program = shutil.which(command[0], path=_PATH)
    if program is None:
        raise WardianError(UNAVAILABLE, f"no program {command[0]}", operation="iptables", subject=command[0])
    done = subprocess.run(
        [program, *command[1:]], input=text, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise WardianError(SYSTEM, f"{command[0]}: {said}", operation="iptables", subject=command[0])
    return done.stdout
