"""Networks whose containers share the parent link's MAC: L2 as macvlan, L3 routed by this host's kernel without ARP.

As with macvlan there are no rules and no published ports.
"""

from collections.abc import Collection, Sequence

from wardian.network import plan
from wardian.network.drivers import parent, refusals
from wardian.network.host import Host
from wardian.network.plan import Ready
from wardian.network.steps import Step
from wardian.network.values import Endpoint, NetworkConfig, NetworkRules


class Ipvlan:
    """The driver "ipvlan". Its methods' contract is contract.Driver's."""

    name = "ipvlan"
    uses_veth = False

    def __init__(self, host: Host) -> None:
        self._parents = parent.Parents(host, "di-")

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        parent.check(config)
        mode, flag = mode_of(config), flag_of(config)
        for other in others:
            # Mode and flag belong to the parent in the kernel: a second network's would change the first's.
            same = (mode, flag) == (mode_of(other), flag_of(other))
            if other.driver == self.name and other.link == config.link and other.id != config.id and not same:
                raise refusals.invalid(
                    f"network {other.name} is already using parent interface {config.link} in ipvlan mode "
                    f"{mode_of(other)} ({flag_of(other)}), which all of a parent's networks share"
                )

    def ensure(self, config: NetworkConfig, keep: bool) -> None:
        self._parents.ensure(config)

    def mend(self, config: NetworkConfig) -> bool:
        return self._parents.mend(config)

    def remove(self, config: NetworkConfig) -> None:
        self._parents.remove(config)

    def endpoint_steps(
        self, endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
    ) -> tuple[Step, ...]:
        return plan.ipvlan_endpoint(endpoint, gateways, mode_of(endpoint.network), flag_of(endpoint.network))

    def leaving_steps(self, endpoint: Endpoint) -> tuple[Step, ...]:
        return plan.leaving_parent(endpoint)

    def rules(self, config: NetworkConfig) -> NetworkRules | None:
        return None


def mode_of(config: NetworkConfig) -> str:
    return config.options.get("ipvlan_mode", "") or "l2"


def flag_of(config: NetworkConfig) -> str:
    return config.options.get("ipvlan_flag", "") or "bridge"
