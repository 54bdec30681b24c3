"""Attack: a neighbour routes a container network's range to the host and asks containers for what nobody published.

Docker before 28 forwarded it (moby#48815: unpublished ports of containers were reachable from the link).
"""

import itertools

import pytest

from packets import Ears
from street import HOST4, HOST6, NEIGHBOUR4, NEIGHBOUR6, REFUSED, SILENT, Street

V6 = "fd00:5:1::/64"


@pytest.mark.parametrize("network", ["bridge", "own"])
def test_what_is_not_published_cannot_be_reached(street: Street, network: str) -> None:
    if network == "own":
        street.network6(network, V6)
    box = street.run(network=network, ports={"80/tcp": 8080})
    services = [street.serve(box.netns, port, protocol) for port, protocol in ((81, "tcp"), (81, "udp"), (80, "udp"))]
    addresses = [box.address(network)] + ([box.address(network, 6)] if network == "own" else [])
    street.neighbour_routes(*addresses)
    with Ears(box.netns, "eth0") as ears:
        wanted = [(address, *port) for address in addresses for port in ((81,), (81, "udp"), (80, "udp"))]
        assert street.ask_all(*wanted) == {SILENT}, "80/udp: published for another protocol"
        assert not ears.heard(), "not a packet of the neighbour's"
    assert not any(service.seen for service in services)


@pytest.mark.parametrize("network", ["bridge", "own"])
def test_what_is_published_is_reached_by_the_hosts_address_only(street: Street, network: str) -> None:
    """By the container's own address and port, a port published on one address of the host would be open on all."""
    if network == "own":
        street.network6(network, V6)
    box = street.run(network=network, ports={"80/tcp": (HOST4, 8080), "82/tcp": 8082})
    service = street.serve(box.netns)
    street.serve(box.netns, 82)
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    addresses = [box.address(network)] + ([box.address(network, 6)] if network == "own" else [])
    street.neighbour_routes(*addresses)
    assert street.ask_all(*((address, port) for address in addresses for port in (80, 82, 8080, 8082))) == {SILENT}
    assert service.seen == [NEIGHBOUR4]


def test_a_routed_network_is_reached_at_its_published_ports_only(street: Street) -> None:
    options = {f"com.docker.network.bridge.gateway_mode_ipv{family}": "routed" for family in (4, 6)}
    street.network6("own", V6, options=options)
    box = street.run(network="own", ports={"80/tcp": None})
    street.serve(box.netns), street.serve(box.netns, 81)
    for address, client in ((box.address("own"), NEIGHBOUR4), (box.address("own", 6), NEIGHBOUR6)):
        street.neighbour_routes(address)
        assert street.ask(address, 80) == client
        assert street.ask(address, 81, seconds=0.5) == SILENT


def test_an_unprotected_network_is_open_and_the_others_stay_shut(street: Street) -> None:
    street.network("open", options={"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"})
    open_box, shut_box = street.run(network="open"), street.run()
    for box in (open_box, shut_box):
        street.serve(box.netns, 81)
    street.neighbour_routes(open_box.address("open"), shut_box.address())
    assert street.ask(open_box.address("open"), 81) == NEIGHBOUR4
    assert street.ask(shut_box.address(), 81, seconds=0.5) == SILENT


def test_a_port_that_was_published_is_shut_when_its_container_is_gone(street: Street) -> None:
    box = street.run(ports={"80/tcp": 8080, "80/udp": 8080})
    street.serve(box.netns), street.serve(box.netns, protocol="udp")
    assert street.ask(HOST4, 8080) == street.ask(HOST4, 8080, "udp") == NEIGHBOUR4
    address = box.address()
    box.container.kill()
    box.container.wait()
    assert street.ask_all((HOST4, 8080), (HOST6, 8080)) <= {REFUSED, SILENT}
    other = street.run()
    street.serve(other.netns), street.serve(other.netns, protocol="udp")
    street.neighbour_routes(address, other.address())
    wanted = itertools.product((HOST4, other.address()), (80, 8080), ("tcp", "udp"))
    assert street.ask_all(*wanted) <= {REFUSED, SILENT}
