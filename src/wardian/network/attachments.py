"""Sandboxes on their networks: attach, detach, connect and disconnect, each all or nothing."""

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.network import bridge_values
from wardian.network.bridge import BridgeNetwork
from wardian.network.values import Attachment, Changed, Endpoint, EndpointWant, HeldPort, NetworkConfig, SandboxWant


class Attachments:
    """Who is on which network. Methods are called in the loop's thread."""

    def __init__(self, bridge: BridgeNetwork) -> None:
        self._bridge = bridge

    async def attach(self, sandbox: str, want: SandboxWant) -> Attachment:
        """A namespace with the sandbox's endpoints in it. The caller owns and closes what the attachment holds.

        Raises WardianError; nothing is left then.
        """
        if len(want.endpoints) != 1 or want.endpoints[0].network != self._bridge.state.row.id:
            raise WardianError(NOT_IMPLEMENTED, "networks beside the default bridge are not built yet")
        if want.ports:
            raise WardianError(NOT_IMPLEMENTED, "published ports are not built yet", operation="publish a port")
        asked = want.endpoints[0]
        given = await self._bridge.acquire(sandbox, bridge_values.EndpointWant(asked.ipv4, asked.mac))
        return Attachment(given.netns_fd, (self._endpoint(sandbox, given, asked),))

    async def detach(self, sandbox: str) -> None:
        """The sandbox's last process is gone: its places are free. No error when it has none."""
        await self._bridge.release(sandbox)

    async def connect(self, sandbox: str, want: EndpointWant, netns_fd: int) -> Changed:
        """One more endpoint, in the namespace that the sandbox lives in."""
        raise WardianError(NOT_IMPLEMENTED, "connecting a running container is not built yet", operation="connect")

    async def disconnect(self, sandbox: str, network: str, netns_fd: int) -> Changed:
        raise WardianError(NOT_IMPLEMENTED, "disconnecting a running container is not built yet")

    def endpoints(self, sandbox: str) -> tuple[Endpoint, ...]:
        """What the sandbox has, in the order in which its links were made; survives an engine's restart."""
        given = self._bridge.endpoint(sandbox)
        return (self._endpoint(sandbox, given, EndpointWant(given.network_id)),) if given is not None else ()

    def published(self, sandbox: str) -> tuple[HeldPort, ...]:
        """The host's ports that lead to it, without descriptors."""
        return ()

    def rename(self, sandbox: str, names: tuple[str, ...]) -> None:
        """It answers to `names` from now on."""

    def _endpoint(self, sandbox: str, given: bridge_values.Endpoint, want: EndpointWant) -> Endpoint:
        row = self._bridge.state.row
        config = NetworkConfig(row.id, row.name, row.driver, row.created, link=self._bridge.link)
        return Endpoint(
            given.endpoint_id,
            sandbox,
            config,
            want,
            given.interface,
            given.mac,
            given.address,
            given.prefix,
            given.gateway,
        )


def check_default_bridge(want: EndpointWant) -> None:
    """On the default bridge the network chooses addresses, and nobody has a name."""
    if want.ipv4 or want.ipv6:
        problem = "user specified IP address is supported on user defined networks only"
    elif want.aliases:
        problem = "network-scoped alias is supported only for containers in user defined networks"
    else:
        return
    raise WardianError(INVALID, f"invalid endpoint settings:\n{problem}", operation="endpoint", subject=want.network)
