"""What a firewall does for the networks, whichever of the kernel's interfaces it writes to."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from wardian.network.values import NetworkRules, PortRule, PortWant, ShortWay


class Transit(NamedTuple):
    """What is forwarded between links none of which is ours, and must not pass: of these families (4, 6).

    `bridges`: those with a link of the host's own in them. What passes within one of them is no transit (br_netfilter
    shows it all the same). `others`: those that somebody has for containers or machines, who lets pass what he likes.
    A bridge that is in neither is not known yet: nothing passes there.
    """

    families: frozenset[int] = frozenset()
    bridges: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


ALL_PASSES = Transit()


class Firewall(Protocol):
    """All rules of one engine. Called from one thread at a time, in the network namespace in which it was opened.

    It keeps what is wanted, so that all of it can be made again when somebody flushed it. Errors are WardianError;
    a change that was refused leaves the kernel and what is wanted as before.
    """

    @property
    def warnings(self) -> list[str]:
        """For `info`: chains of others that drop, and what was done about it."""

    def apply(self, networks: Sequence[NetworkRules], ports: Sequence[PortRule]) -> None:
        """Make all rules so, whatever was there of ours: idempotent."""

    def add_network(self, network: NetworkRules) -> None: ...

    def remove_network(self, link: str) -> None:
        """No error when there is none; its published ports go with it."""

    def add_ports(self, ports: Sequence[PortRule]) -> None:
        """All of them or none. The links' networks are known already."""

    def remove_ports(self, ports: Sequence[PortRule]) -> None:
        """Those that are not there are no error. What is refused is wanted no more: the next `mend` takes it out."""

    def know_short_ways(self, ways: frozenset[ShortWay]) -> None:
        """These and no others: who comes there by a published port, comes with the host's address."""

    def forbid_transit(self, transit: Transit) -> None:
        """From now on; with no families, nothing of it."""

    def exposures(self, ports: Sequence[PortWant]) -> list[str]:
        """What other machines reach despite this host's firewall (ufw, firewalld, …): warnings for who publishes."""

    def mend(self) -> bool:
        """Put back what somebody else took away since the last call; some microseconds when nobody did.

        True when something had to be put back.
        """

    def remove(self, but_transit: bool = False) -> None:
        """Take back everything of ours. `but_transit`: what forbids transit stays."""

    def describe(self, port: PortRule) -> str:
        """Where the kernel holds this port, for `explain`."""

    def describe_network(self, link: str) -> list[str]:
        """What the kernel holds of a network."""

    def fileno(self) -> int:
        """Readable when somebody, we too, changed the kernel's tables."""

    def settled(self) -> bool:
        """After `fileno` was readable: whether there is nothing to mend. From any thread; never waits."""

    def close(self) -> None: ...


class Wanted(NamedTuple):
    """What an engine's rules are made from: networks by link, and ports in the order in which they came."""

    networks: dict[str, NetworkRules]
    ports: dict[PortRule, None]
    transit: Transit = ALL_PASSES
    short: frozenset[ShortWay] = frozenset()

    def copy(self) -> "Wanted":
        return self._replace(networks=dict(self.networks), ports=dict(self.ports))

    def without(self, link: str) -> "Wanted":
        networks = {name: rules for name, rules in self.networks.items() if name != link}
        return self._replace(networks=networks, ports={port: None for port in self.ports if port.link != link})

    def anew(self, networks: Sequence[NetworkRules], ports: Sequence[PortRule]) -> "Wanted":
        return self._replace(networks={rules.link: rules for rules in networks}, ports=dict.fromkeys(ports))


def wanted(networks: Sequence[NetworkRules], ports: Sequence[PortRule], transit: Transit = ALL_PASSES) -> Wanted:
    return Wanted({}, {}, transit).anew(networks, ports)
