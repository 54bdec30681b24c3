"""The rows of the default bridge alone, as `bridge` wants them, until `attachments` serves every network."""

import ipaddress
from collections.abc import Collection
from typing import NamedTuple

from wardian.errors import CONFLICT, WardianError
from wardian.network import addresses
from wardian.network.state import NetworkRows
from wardian.network.values import EndpointWant, NetworkConfig, Subnet


class EndpointRow(NamedTuple):
    sandbox: str
    network: str
    id: str
    address: str
    mac: str


class NetworkState:
    def __init__(self, rows: NetworkRows) -> None:
        self._rows = rows
        found = rows.named("bridge")
        assert found is not None, "it is predefined"
        self._id = found.id

    @property
    def row(self) -> NetworkConfig:
        found = self._rows.network(self._id)
        assert found is not None, "it is predefined"
        return found

    @property
    def subnet(self) -> ipaddress.IPv4Network | None:
        subnet = self.row.v4.subnet if self.row.v4 is not None else None
        return subnet if isinstance(subnet, ipaddress.IPv4Network) else None

    def set_subnet(self, subnet: ipaddress.IPv4Network) -> None:
        chosen = Subnet(subnet, addresses.gateway_of(subnet), chosen=True)
        self._rows.replace(self.row._replace(subnets=(chosen,)))

    def endpoints(self) -> list[EndpointRow]:
        return [
            EndpointRow(one.sandbox, one.network, one.id, one.ipv4, one.mac) for one in self._rows.endpoints(self._id)
        ]

    def endpoint(self, sandbox: str) -> EndpointRow | None:
        return next((one for one in self.endpoints() if one.sandbox == sandbox), None)

    def add_endpoint(self, sandbox: str, mac: str = "") -> EndpointRow:
        if self.endpoint(sandbox) is not None:
            message = f"endpoint with name {sandbox} already exists in network {self.row.name}"
            raise WardianError(CONFLICT, message, operation="allocate an address", subject=sandbox)
        one = self._rows.allocate(sandbox, EndpointWant(self._id, mac=mac), "eth0")
        return EndpointRow(one.sandbox, one.network, one.id, one.ipv4, one.mac)

    def remove_endpoint(self, sandbox: str) -> bool:
        return self._rows.release(sandbox, self._id)

    def keep_only(self, live: Collection[str]) -> list[str]:
        return self._rows.keep_only(live)
