"""The facade: the networks that exist, who is on them, and what a restart finds of both."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wardian.database import Database
from wardian.errors import UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.network.addresses import engine_pools
from wardian.network.attachments import Attachments
from wardian.network.catalogue import Catalogue
from wardian.network.hostside import HostSide
from wardian.network.names import Names
from wardian.network.naming import Naming, has_names
from wardian.network.ranges import subnet_lock
from wardian.network.recall import Recall
from wardian.network.state import NetworkRows
from wardian.network.values import (
    Attachment,
    Changed,
    Done,
    Endpoint,
    EndpointWant,
    HeldPort,
    NetworkConfig,
    Recalled,
    SandboxWant,
)


def _nobody(sandbox: str) -> int:
    raise ProcessLookupError(sandbox)


def _none_left(_: str) -> list[int]:
    return []


class Networks(Catalogue):
    """All networks of one engine. Methods are called in the loop's thread; see the package's docstring.

    `namespace` opens the network namespace of a living sandbox; ProcessLookupError when it has ended. `left_behind`
    opens those that an ended one leaves to others that live in them.
    """

    def __init__(
        self,
        home: Home,
        database: Database,
        namespace: Callable[[str], int] = _nobody,
        left_behind: Callable[[str], list[int]] = _none_left,
    ) -> None:
        self.host = HostSide(home)
        rows = NetworkRows(database, home.bridge)
        bridge = rows.named("bridge")
        assert bridge is not None, "it is predefined"
        super().__init__(rows, self.host, engine_pools(home.address_pools, bridge.id))
        self._names = Names(home, namespace)
        self._naming = Naming(self._names)
        self._attachments = Attachments(rows, self.host, self._naming, left_behind)
        self._recall = Recall(self._attachments, self.host.plumbing, namespace)

    # ---- an engine's life ----

    async def start(self) -> None:
        """Links, rules, pools, names: made, or mended where they are; what lives is kept. Idempotent."""
        if self.host.started:
            return
        await self.host.start()
        try:
            async with subnet_lock():
                await self.settle_bridge()
                networks = self.rows.networks()
                used = [row.network for row in self.rows.endpoints()]
                await self.host.settle(networks, used, self._attachments.rules(), self._attachments.short_ways())
            await self._names.start(self._attachments.begin())
            if any(has_names(one) for one in networks):
                self._naming.warm()
        except BaseException:
            await self.host.stop()
            raise

    async def recover(self, live: Mapping[str, SandboxWant]) -> Recalled:
        """After an engine's restart: the endpoints, ports and names of sandboxes that are not in `live` are given back;
        `live` says what each asked. The caller tells the supervisors of the living what holds."""
        return await self._recall.recall(live)

    async def stop(self, purge: bool | None = None) -> None:
        """`purge` removes links, rules and names too; None: unless a sandbox is still on a network."""
        purge = not self.rows.endpoints() if purge is None else purge
        try:
            await self._naming.settled()
            await self._names.stop(True if purge else None)
        finally:
            await self.host.stop(self.rows.networks() if purge else ())

    # ---- networks ----

    async def create(self, body: Mapping[str, Any]) -> tuple[NetworkConfig, str]:
        made = await super().create(body)
        self._naming.warm()
        return made

    async def _take_away(self, config: NetworkConfig) -> None:
        await super()._take_away(config)
        self._naming.withdraw(config.id)

    # ---- sandboxes ----

    def planned(self, sandbox: str, want: SandboxWant) -> list[Done]:
        """What `attach` would do; nothing is made."""
        return self._attachments.planned(sandbox, want)

    async def attach(self, sandbox: str, want: SandboxWant, netns_fd: int = -1) -> Attachment:
        if not self.host.started:
            raise WardianError(UNAVAILABLE, "the networks are not started", operation="attach", subject=sandbox)
        return await self._attachments.attach(sandbox, want, netns_fd)

    async def detach(self, sandbox: str) -> None:
        await self._attachments.detach(sandbox)

    async def connect(self, sandbox: str, want: EndpointWant, netns_fd: int, whole: SandboxWant) -> Changed:
        return await self._attachments.connect(sandbox, want, netns_fd, whole)

    async def disconnect(self, sandbox: str, network: str, netns_fd: int, whole: SandboxWant) -> Changed:
        return await self._attachments.disconnect(sandbox, network, netns_fd, whole)

    def rename(self, sandbox: str, names: Sequence[str]) -> None:
        self._attachments.rename(sandbox, names)

    def endpoints(self, sandbox: str) -> tuple[Endpoint, ...]:
        return self._attachments.endpoints(sandbox)

    def published(self, sandbox: str) -> tuple[HeldPort, ...]:
        return self._attachments.published(sandbox)

    # ---- reading ----

    @property
    def host_gateway(self) -> str:
        """What `host-gateway` means in --add-host: the host as the default bridge sees it."""
        subnet = self.find("bridge").v4
        return str(subnet.gateway or "") if subnet is not None else ""

    def exposures(self, want: SandboxWant) -> list[str]:
        """Warnings for who publishes ports so: what other machines will reach despite this host's firewall."""
        binding = next((self.network(one.network).host_binding for one in want.endpoints[:1]), "")
        return self.host.exposures([port._replace(host_ip=port.host_ip or binding) for port in want.ports])

    def info(self) -> list[str]:
        return [*self.host.warnings(), *self.overlaps]
