"""A network in the API's shape (1.51, network.Inspect). Pure."""

from collections.abc import Mapping
from typing import Any

from wardian.network.state import EndpointRow
from wardian.network.values import NetworkConfig, Subnet

_DEFAULT_BRIDGE = {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.driver.mtu": "1500",
}


def describe(network: NetworkConfig, containers: Mapping[str, Any]) -> dict[str, Any]:
    """Docker shows a gateway only where it was asked for or chose the subnet; here it is shown
    wherever there is one."""
    options = dict(network.options)
    if network.name == "bridge":
        options = {**_DEFAULT_BRIDGE, **options, "com.docker.network.bridge.name": network.link}
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.enable_ipv4,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {
            "Driver": network.ipam_driver,
            "Options": dict(network.ipam_options) or None,
            "Config": [_describe_subnet(one) for one in network.subnets] or None,
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
        "Containers": containers,
        "Options": options,
        "Labels": dict(network.labels),
    }


def _describe_subnet(one: Subnet) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "Subnet": str(one.subnet),
        "IPRange": str(one.ip_range or ""),
        "Gateway": str(one.gateway or ""),
        "AuxiliaryAddresses": {name: str(address) for name, address in one.auxiliary},
    }
    return {name: value for name, value in fields.items() if value}


def described_endpoint(network: NetworkConfig, row: EndpointRow, name: str) -> dict[str, str]:
    """network.EndpointResource."""
    return {
        "Name": name,
        "EndpointID": row.id,
        "MacAddress": row.mac,
        "IPv4Address": _with_prefix(network, row.ipv4),
        "IPv6Address": _with_prefix(network, row.ipv6),
    }


def _with_prefix(network: NetworkConfig, address: str) -> str:
    one = network.holding(address)
    return f"{address}/{one.subnet.prefixlen}" if one is not None else address
