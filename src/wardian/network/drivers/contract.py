"""What a network driver is: the host's side of a network, and the plan for one endpoint.

Everything else about networks (addresses, names, ports, rules, who is where) is the same for all drivers and is not
their business. A driver between hosts makes its tunnel in `ensure` and tells its peers of an endpoint with steps of its
own in `endpoint_steps` and `leaving_steps`; the addresses that they agree on come with the endpoint.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from wardian.network.plan import Ready
from wardian.network.steps import Step
from wardian.network.values import Endpoint, NetworkConfig, NetworkRules


class Driver(Protocol):
    """`check`, `endpoint_steps`, `leaving_steps` and `rules` are pure; the others are called in the network's thread.

    `uses_veth`: an endpoint can start from a veth of the pool.
    """

    @property
    def name(self) -> str: ...

    @property
    def uses_veth(self) -> bool: ...

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        """Whether a network can be so, beside `others`. Raises INVALID, CONFLICT or NOT_IMPLEMENTED."""

    def ensure(self, config: NetworkConfig, keep: bool) -> None:
        """Make or mend the host's side. Idempotent. `keep`: somebody lives on it, what stands is not remade."""

    def mend(self, config: NetworkConfig) -> bool:
        """Before each use, for some microseconds: `ensure` when the link is no longer that of the last time.

        True when it was: what hung on the old one was hung on the new one.
        """

    def remove(self, config: NetworkConfig) -> None:
        """Take back what `ensure` made, and nothing else. No error when it is gone."""

    def endpoint_steps(
        self, endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
    ) -> tuple[Step, ...]:
        """What happens for one endpoint. `gateways`: the families (4, 6) whose default route goes through it;
        `hairpin`: it has published ports; `ready`: a veth of the pool to start from."""

    def leaving_steps(self, endpoint: Endpoint) -> tuple[Step, ...]:
        """What happens when it leaves a sandbox that lives on."""

    def rules(self, config: NetworkConfig) -> NetworkRules | None:
        """What the firewall must know; None: nothing of this network passes through the host."""
