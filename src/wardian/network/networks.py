"""The facade: the networks that exist, and who is on them."""

from collections.abc import Collection

from wardian.database import Database
from wardian.home import Home
from wardian.network import catalogue
from wardian.network.attachments import Attachments
from wardian.network.values import Attachment, Changed, Endpoint, EndpointWant, HeldPort, SandboxWant


class Networks(catalogue.Networks):
    """All networks of one engine. Methods are called in the loop's thread; see the package's docstring."""

    def __init__(self, home: Home, database: Database) -> None:
        super().__init__(home, database)
        self._attachments = Attachments(self.bridge)

    async def attach(self, sandbox: str, want: SandboxWant) -> Attachment:
        return await self._attachments.attach(sandbox, want)

    async def detach(self, sandbox: str) -> None:
        await self._attachments.detach(sandbox)

    async def connect(self, sandbox: str, want: EndpointWant, netns_fd: int) -> Changed:
        return await self._attachments.connect(sandbox, want, netns_fd)

    async def disconnect(self, sandbox: str, network: str, netns_fd: int) -> Changed:
        return await self._attachments.disconnect(sandbox, network, netns_fd)

    def endpoints(self, sandbox: str) -> tuple[Endpoint, ...]:
        return self._attachments.endpoints(sandbox)

    def published(self, sandbox: str) -> tuple[HeldPort, ...]:
        return self._attachments.published(sandbox)

    def rename(self, sandbox: str, names: tuple[str, ...]) -> None:
        self._attachments.rename(sandbox, names)

    @property
    def host_gateway(self) -> str:
        """What `host-gateway` means in --add-host: the host as the default bridge sees it."""
        return self.bridge.gateway

    def recover(self, live: Collection[str]) -> list[str]:
        return super().recover(live)
