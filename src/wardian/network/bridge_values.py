"""What the default bridge alone asks and gives, until `attachments` serves every network. Values only."""

from typing import NamedTuple


class EndpointWant(NamedTuple):
    """What a sandbox asks of a network. Empty means: the network chooses.

    `ports` are published ports in the API's shape ({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, as items).
    """

    address: str = ""
    mac: str = ""
    ports: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


class Endpoint(NamedTuple):
    """A sandbox's place on a network.

    `netns_fd` is a descriptor of the prepared network namespace, owned by whoever called `acquire`: hand it to the
    launcher, then close it; the last process in the namespace keeps it alive, and its end takes the links with it.
    It is -1 in an endpoint that was read back from the state file.
    """

    netns_fd: int
    endpoint_id: str
    network_id: str
    network: str
    address: str
    prefix: int
    gateway: str
    mac: str
    interface: str = "eth0"

    def settings(self) -> dict[str, object]:
        """The value of `NetworkSettings.Networks[NAME]` in `GET /containers/{id}/json` (API 1.51, EndpointSettings)."""
        return {
            "IPAMConfig": None,
            "Links": None,
            "Aliases": None,
            "MacAddress": self.mac,
            "DriverOpts": None,
            "GwPriority": 0,
            "NetworkID": self.network_id,
            "EndpointID": self.endpoint_id,
            "Gateway": self.gateway,
            "IPAddress": self.address,
            "IPPrefixLen": self.prefix,
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "DNSNames": None,
        }
