"""Networks whose containers share the parent link's MAC: L2 as macvlan, L3 routed by this host's kernel without ARP.

As with macvlan there are no rules and no published ports.
"""

from collections.abc import Collection

from wardian.network import plan
from wardian.network.drivers.parent import Children
from wardian.network.plan import Ready
from wardian.network.refusals import invalid
from wardian.network.steps import Step
from wardian.network.values import Endpoint, NetworkConfig


class Ipvlan(Children):
    """The driver "ipvlan"."""

    name = "ipvlan"
    prefix = "di-"

    def check_beside(self, config: NetworkConfig, other: NetworkConfig) -> None:
        """Mode and flag belong to the parent in the kernel: a second network's would change the first's."""
        if (mode_of(config), flag_of(config)) != (mode_of(other), flag_of(other)):
            raise invalid(
                f"network {other.name} is already using parent interface {config.link} in ipvlan mode "
                f"{mode_of(other)} ({flag_of(other)}), which all of a parent's networks share"
            )

    def endpoint_steps(
        self, endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
    ) -> tuple[Step, ...]:
        return plan.ipvlan_endpoint(endpoint, gateways, mode_of(endpoint.network), flag_of(endpoint.network))


def mode_of(config: NetworkConfig) -> str:
    return config.options.get("ipvlan_mode", "") or "l2"


def flag_of(config: NetworkConfig) -> str:
    return config.options.get("ipvlan_flag", "") or "bridge"
