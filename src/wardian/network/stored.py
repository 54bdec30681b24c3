"""A network's config and an endpoint's want as the JSON of their rows. Pure. What an earlier engine did not write has
its default."""

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from wardian.network.values import EndpointWant, NetworkConfig, Subnet


def encode_config(config: NetworkConfig) -> str:
    """Without id and name, which have columns; a default bridge's link is the engine's to say."""
    values: dict[str, Any] = {
        "driver": config.driver,
        "created": config.created,
        "subnets": [_encode_subnet(one) for one in config.subnets],
        "internal": config.internal,
        "attachable": config.attachable,
        "enable_ipv4": config.enable_ipv4,
        "enable_ipv6": config.enable_ipv6,
        "options": dict(config.options),
        "labels": dict(config.labels),
        "ipam_driver": config.ipam_driver,
        "ipam_options": dict(config.ipam_options),
        "link": config.link,
        "config_only": config.config_only,
        "config_from": config.config_from,
    }
    return msgspec.json.encode(values).decode()


def _encode_subnet(one: Subnet) -> dict[str, Any]:
    return {
        "subnet": str(one.subnet),
        "gateway": str(one.gateway or ""),
        "ip_range": str(one.ip_range or ""),
        "auxiliary": [[name, str(address)] for name, address in one.auxiliary],
        "chosen": one.chosen,
    }


def decode_config(identity: str, name: str, text: str) -> NetworkConfig:
    values: dict[str, Any] = msgspec.json.decode(text)
    subnets = tuple(_decode_subnet(one) for one in values.pop("subnets", ()))
    return NetworkConfig(id=identity, name=name, subnets=subnets, **values)


def _decode_subnet(values: Mapping[str, Any]) -> Subnet:
    gateway, ip_range = values.get("gateway"), values.get("ip_range")
    return Subnet(
        ipaddress.ip_network(values["subnet"]),
        ipaddress.ip_address(gateway) if gateway else None,
        ipaddress.ip_network(ip_range) if ip_range else None,
        tuple((name, ipaddress.ip_address(address)) for name, address in values.get("auxiliary", ())),
        values.get("chosen", False),
    )


def encode_want(want: EndpointWant) -> str:
    values = want._asdict()
    del values["network"]
    return msgspec.json.encode({**values, "driver_opts": dict(want.driver_opts)}).decode()


def decode_want(network: str, text: str) -> EndpointWant:
    values: dict[str, Any] = msgspec.json.decode(text)
    for name in ("link_local", "aliases", "links"):
        values[name] = tuple(values.get(name, ()))
    return EndpointWant(network=network, **values)
