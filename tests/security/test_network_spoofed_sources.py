"""Attack: a container's root writes its own frames: for 127.0.0.1 of the host (CVE-2020-8558), or as somebody else.

A bridge on which 127.0.0.1 is routed (route_localnet, for ports published to localhost) would let them in.
"""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from own_host import ip
from packets import Ears, frame, send_frame, tcp_syn, udp
from street import HOST4, LINK, NEIGHBOUR4, SILENT, Box, Street, ask
from wardian.kernel import netns


@pytest.fixture(params=["bridge", "own"])
def attacker(request: pytest.FixtureRequest, street: Street) -> Box:
    """Its network has a port on localhost, so that what such ports need is there."""
    if request.param == "own":
        street.network(request.param)
    street.run(network=request.param, ports={"80/tcp": ("127.0.0.1", 8080)})
    return street.run(network=request.param)


def _gateway(box: Box) -> tuple[str, str, str]:
    """The gateway's address and MAC, and the container's own MAC."""
    ((name, _),) = box.networks.items()
    address = str(box.networks[name]["Gateway"])
    with contextlib.suppress(OSError):
        ask(box.netns, address, 9, seconds=0.5)
    (there,) = box.inside(lambda: ip("neigh", "show", address))
    return address, there["lladdr"], box.inside(lambda: ip("link", "show", "eth0"))[0]["address"]


@contextlib.contextmanager
def _service_on(where: int, address: str, port: int) -> Iterator[socket.socket]:
    def bind() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        return made

    with netns.run_inside(where, bind) as made:
        made.settimeout(0.3)
        yield made


def _silent(service: socket.socket) -> bool:
    try:
        service.recv(100)
    except TimeoutError:
        return True
    return False


def test_the_hosts_own_services_on_localhost_are_out_of_reach(street: Street, attacker: Box) -> None:
    _, gateway, own = _gateway(attacker)
    mine = attacker.address(next(iter(attacker.networks)))
    with _service_on(street.host, "127.0.0.1", 5353) as service:
        for source in (mine, "127.0.0.1", "127.0.0.7", NEIGHBOUR4):
            send_frame(attacker.netns, "eth0", frame(gateway, own, udp(source, "127.0.0.1", 4000, 5353, b"in?")))
        assert _silent(service)
    street.serve(street.host, 5354, address="127.0.0.1")
    with Ears(attacker.netns, "eth0") as answers:
        send_frame(attacker.netns, "eth0", frame(gateway, own, tcp_syn(mine, "127.0.0.1", 4000, 5354)))
        assert not [one for one in answers.heard() if one.source.startswith("127.")]


def test_a_port_on_localhost_is_not_for_containers(street: Street, attacker: Box) -> None:
    box = street.run(ports={"80/udp": ("127.0.0.1", 8090)})
    service = street.serve(box.netns, protocol="udp")
    assert ask(street.host, "127.0.0.1", 8090, "udp") != SILENT
    known = len(service.seen)
    _, gateway, own = _gateway(attacker)
    mine = attacker.address(next(iter(attacker.networks)))
    for source in (mine, "127.0.0.1"):
        send_frame(attacker.netns, "eth0", frame(gateway, own, udp(source, "127.0.0.1", 4000, 8090, b"in?")))
    with Ears(box.netns, "eth0") as ears:
        assert not ears.heard()
    assert len(service.seen) == known


def test_a_loopback_source_does_not_reach_the_hosts_services(street: Street, attacker: Box) -> None:
    """Who trusts 127.0.0.1 (an ident, a statsd …) must not hear it from a container."""
    address, gateway, own = _gateway(attacker)
    with _service_on(street.host, "0.0.0.0", 5355) as service:
        for to in (address, HOST4):
            send_frame(attacker.netns, "eth0", frame(gateway, own, udp("127.0.0.1", to, 4000, 5355, b"in?")))
        assert _silent(service)


def test_nothing_leaves_with_the_address_of_another_network(street: Street, attacker: Box) -> None:
    street.network("victims")
    victim = street.run(network="victims")
    theirs = victim.address("victims")
    _, gateway, own = _gateway(attacker)
    with Ears(street.neighbour, "eth0") as ears, _service_on(street.host, "0.0.0.0", 5356) as service:
        for to, port in ((NEIGHBOUR4, 5356), (HOST4, 5356)):
            send_frame(attacker.netns, "eth0", frame(gateway, own, udp(theirs, to, 4000, port, b"from whom?")))
        assert _silent(service)
        assert not ears.heard()


def test_the_world_does_not_speak_as_a_container(street: Street, attacker: Box) -> None:
    """A packet from the link with a container's address as its source is nobody's answer."""
    name = next(iter(attacker.networks))
    host = ip("link", "show", LINK)[0]["address"]
    own = netns.run_inside(street.neighbour, lambda: ip("link", "show", "eth0"))[0]["address"]
    with _service_on(street.host, "0.0.0.0", 5357) as service:
        packet = udp(attacker.address(name), HOST4, 4000, 5357, b"from whom?")
        send_frame(street.neighbour, "eth0", frame(host, own, packet))
        assert _silent(service)
