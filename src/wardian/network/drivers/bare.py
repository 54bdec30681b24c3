"""The networks "none" and "host": no link is made for them; a sandbox is on them alone."""

from collections.abc import Collection, Sequence

from wardian.errors import FORBIDDEN, WardianError
from wardian.network.plan import Ready
from wardian.network.steps import Step
from wardian.network.values import Endpoint, NetworkConfig, NetworkRules


class Bare:
    """The drivers "null" and "host". Its methods' contract is contract.Driver's."""

    uses_veth = False

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def check(self, config: NetworkConfig, others: Sequence[NetworkConfig] = ()) -> None:
        if any(other.driver == self.name and other.id != config.id for other in others):
            raise WardianError(
                FORBIDDEN,
                f'only one instance of "{self.name}" network is allowed',
                operation="create a network",
                subject=config.name,
            )

    def ensure(self, config: NetworkConfig, keep: bool) -> None: ...

    def mend(self, config: NetworkConfig) -> bool:
        return False

    def remove(self, config: NetworkConfig) -> None: ...

    def endpoint_steps(
        self, endpoint: Endpoint, gateways: Collection[int], hairpin: bool = False, ready: Ready | None = None
    ) -> tuple[Step, ...]:
        return ()

    def leaving_steps(self, endpoint: Endpoint) -> tuple[Step, ...]:
        return ()

    def rules(self, config: NetworkConfig) -> NetworkRules | None:
        return None
