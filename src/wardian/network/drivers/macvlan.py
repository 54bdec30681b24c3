"""Networks whose containers stand in the parent link's own network, each with a MAC of its own.

Nothing of theirs passes through this host: there are no rules and no published ports, and the host itself cannot reach
them through the parent (the kernel's macvlan does not hand packets between a parent and its children).
"""

from collections.abc import Collection, Sequence

from wardian.network import plan
from wardian.network.drivers import parent, refusals
from wardian.network.host import Host
from wardian.network.plan import Ready
from wardian.network.steps import Step
from wardian.network.values import Endpoint, NetworkConfig, NetworkRules


class Macvlan:
    """The driver "macvlan". Its methods' contract is contract.Driver's."""

    name = "macvlan"
    uses_veth = False

    def __init__(self, host: Host) -> None:
        self._parents = parent.Parents(host, "dm-")

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        parent.check(config)
        mode = mode_of(config)
        for other in others:
            if other.driver == self.name and other.link == config.link and other.id != config.id:
                _check_beside(mode, config, other)

    def ensure(self, config: NetworkConfig, keep: bool) -> None:
        self._parents.ensure(config)

    def mend(self, config: NetworkConfig) -> bool:
        return self._parents.mend(config)

    def remove(self, config: NetworkConfig) -> None:
        self._parents.remove(config)

    def endpoint_steps(
        self, endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
    ) -> tuple[Step, ...]:
        return plan.macvlan_endpoint(endpoint, gateways, mode_of(endpoint.network))

    def leaving_steps(self, endpoint: Endpoint) -> tuple[Step, ...]:
        return plan.leaving_parent(endpoint)

    def rules(self, config: NetworkConfig) -> NetworkRules | None:
        return None


def mode_of(config: NetworkConfig) -> str:
    return config.options.get("macvlan_mode", "") or "bridge"


def _check_beside(mode: str, config: NetworkConfig, other: NetworkConfig) -> None:
    """passthru hands the parent to one child alone."""
    if mode == "passthru":
        raise refusals.invalid(
            f"cannot use mode passthru, macvlan network {other.name} is already using parent interface {config.link}"
        )
    if mode_of(other) == "passthru":
        raise refusals.invalid(
            f"macvlan network {other.name} is already using parent interface {config.link} in mode passthru"
        )
