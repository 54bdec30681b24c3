"""Networks whose containers stand in the parent link's own network, each with a MAC of its own.

Nothing of theirs passes through this host: there are no rules and no published ports, and the host itself cannot reach
them through the parent (the kernel's macvlan does not hand packets between a parent and its children).
"""

from collections.abc import Collection

from wardian.network import plan
from wardian.network.drivers.parent import Children
from wardian.network.plan import Ready
from wardian.network.refusals import invalid
from wardian.network.steps import Step
from wardian.network.values import Endpoint, NetworkConfig


class Macvlan(Children):
    """The driver "macvlan"."""

    name = "macvlan"
    prefix = "dm-"

    def check_beside(self, config: NetworkConfig, other: NetworkConfig) -> None:
        """passthru hands the parent to one child alone."""
        if mode_of(config) == "passthru":
            raise invalid(
                f"cannot use mode passthru, macvlan network {other.name} is already using parent interface "
                f"{config.link}"
            )
        if mode_of(other) == "passthru":
            raise invalid(
                f"macvlan network {other.name} is already using parent interface {config.link} in mode passthru"
            )

    def endpoint_steps(
        self, endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
    ) -> tuple[Step, ...]:
        return plan.macvlan_endpoint(endpoint, gateways, mode_of(endpoint.network))


def mode_of(config: NetworkConfig) -> str:
    return config.options.get("macvlan_mode", "") or "bridge"
