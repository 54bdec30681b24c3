"""Which addresses of a network are given, in memory, and which one is next. The unique rows are the truth (`state`)."""

import ipaddress
from collections.abc import Sequence

from wardian.errors import FORBIDDEN, INVALID, UNAVAILABLE, WardianError
from wardian.network import addresses
from wardian.network.values import IPAddress, NetworkConfig, Subnet


class Given:
    """What is given of one network. `used` has what no endpoint gets, too: the gateways and the addresses of others."""

    def __init__(self, config: NetworkConfig, last4: str = "", last6: str = "") -> None:
        self.used = {one.gateway for one in config.subnets if one.gateway is not None}
        self.used.update(address for one in config.subnets for _, address in one.auxiliary)
        self.last: dict[int, IPAddress | None] = {
            version: ipaddress.ip_address(text) if text else None for version, text in ((4, last4), (6, last6))
        }


def choose(config: NetworkConfig, version: int, asked: str, given: Given) -> IPAddress:
    subnets = [one for one in config.subnets if one.subnet.version == version]
    if asked:
        return _asked_for(subnets, ipaddress.ip_address(asked), given.used)
    for one in subnets:
        address = addresses.next_address(one.subnet, given.used, given.last[version], one.ip_range)
        if address is not None:
            return address
    raise WardianError(
        UNAVAILABLE,
        f"no available IPv{version} addresses on this network's address pools: {config.name} ({config.id})",
        operation="allocate an address",
        subject=config.name,
    )


def _asked_for(subnets: Sequence[Subnet], address: IPAddress, used: set[IPAddress]) -> IPAddress:
    for one in subnets:
        if address in one.subnet:
            low, high = addresses.usable(one.subnet)
            if address in used or not low <= int(address) <= high:
                message = "Address already in use"
                raise WardianError(FORBIDDEN, message, operation="allocate an address", subject=str(address))
            return address
    message = f"invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
    raise WardianError(INVALID, message, operation="allocate an address", subject=str(address))
