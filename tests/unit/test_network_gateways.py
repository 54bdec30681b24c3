"""Which endpoint leads outward, what links are called, where ports lead: Docker 28's order, seen from it."""

import ipaddress

import pytest

from wardian.network.gateways import families_of, gateways, interface_name, leads_somewhere, target_of
from wardian.network.values import Endpoint, EndpointWant, NetworkConfig, Subnet


def network(name: str, driver: str = "bridge", **fields: object) -> NetworkConfig:
    subnets = (Subnet(ipaddress.ip_network("10.1.0.0/24"), ipaddress.ip_address("10.1.0.1")),)
    made = NetworkConfig(name * 8, name, driver, "2026-01-01T00:00:00Z", subnets, link=f"br-{name}")
    return made._replace(**fields)  # type: ignore[arg-type]


def endpoint(config: NetworkConfig, six: bool = False, priority: int = 0, four: bool = True) -> Endpoint:
    made = Endpoint(config.name, "s", config, EndpointWant(config.id, gw_priority=priority), "eth0", "")
    if four:
        made = made._replace(ipv4=f"10.1.0.{len(config.name)}", prefix4=24, gateway4="10.1.0.1")
    return made._replace(ipv6="fd00::2", prefix6=64, gateway6="fd00::1") if six else made


A, B, C = network("a"), network("b"), network("c")


@pytest.mark.parametrize(
    ("endpoints", "four", "six"),
    [
        ([endpoint(B), endpoint(A)], "a", ""),
        ([endpoint(A), endpoint(B, priority=1)], "b", ""),
        ([endpoint(A, priority=-1), endpoint(B)], "b", ""),
        ([endpoint(A), endpoint(C, six=True)], "c", "c"),
        ([endpoint(A, priority=1), endpoint(C, six=True)], "a", "c"),
        ([endpoint(A, six=True, four=False), endpoint(B)], "b", "a"),
        ([endpoint(network("0", internal=True)), endpoint(B)], "b", ""),
        ([endpoint(network("0", internal=True))], "", ""),
        ([], "", ""),
    ],
)
def test_who_has_the_default_route(endpoints: list[Endpoint], four: str, six: str) -> None:
    found = gateways(endpoints)
    assert (found[4].network.name if 4 in found else "", found[6].network.name if 6 in found else "") == (four, six)
    for one in endpoints:
        assert families_of(one, found) == tuple(
            family for family, name in ((4, four), (6, six)) if name == one.network.name
        )


def test_ports_lead_to_bridges_alone() -> None:
    target = target_of(gateways([endpoint(A, priority=1), endpoint(C, six=True)]))
    assert (target.ipv4, target.link4, target.ipv6, target.link6) == ("10.1.0.1", "br-a", "fd00::2", "br-c")
    assert not leads_somewhere(target_of(gateways([endpoint(network("m", "macvlan"))])))


def test_a_link_is_called_as_asked_or_by_the_first_free_number() -> None:
    want = EndpointWant(A.id)
    assert interface_name(A, want, []) == "eth0"
    assert interface_name(A, want, ["eth0", "eth2"]) == "eth1", "as Docker, which fills the gap"
    prefixed = network("p", options={"com.docker.network.container_iface_prefix": "lan"})
    assert interface_name(prefixed, want, ["eth0"]) == "lan0"
    named = want._replace(driver_opts={"com.docker.network.endpoint.ifname": "dmz"})
    assert interface_name(A, named, ["eth0"]) == "dmz"
