"""From where a published port is reached, by which addresses, and whom the container then sees: the whole matrix."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import docker as docker_py
import pytest

from own_host import ip
from packets import SCTP, Ears, frame, ip_packet, sctp_init, send_frame
from street import (
    HOST4,
    HOST6,
    LINK,
    NEIGHBOUR4,
    NEIGHBOUR6,
    REFUSED,
    SILENT,
    Box,
    Street,
    ask,
    ask_all,
    listening,
    until,
)
from wardian.kernel import netns

V6 = "fd00:5:1::/64"
SECOND4 = "198.51.100.1"
NETWORKS = ("bridge", "own")
PROTOCOLS = ("tcp", "udp")
PORTS = {"80/tcp": 8080, "80/udp": 8080, "84/tcp": 8084}


@pytest.fixture(params=NETWORKS)
def box(request: pytest.FixtureRequest, street: Street) -> Box:
    """A container that publishes 80 on 8080 of all addresses: on the default bridge (IPv4), on one with IPv6 too."""
    street.network6("own", V6)
    made = street.run(network=request.param, ports=PORTS)
    for protocol in PROTOCOLS:
        street.serve(made.netns, protocol=protocol)
    return made


def _name(box: Box) -> str:
    return next(iter(box.networks))


@contextlib.contextmanager
def _second_address() -> Iterator[None]:
    """The host has one more address, that nobody asked the engine about."""
    ip("address", "add", f"{SECOND4}/32", "dev", LINK)
    try:
        yield
    finally:
        ip("address", "delete", f"{SECOND4}/32", "dev", LINK)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_from_outside_and_the_client_is_seen(street: Street, box: Box, protocol: str) -> None:
    assert street.ask(HOST4, 8080, protocol) == NEIGHBOUR4
    answer = street.ask(HOST6, 8080, protocol)
    if _name(box) == "own":
        assert answer == NEIGHBOUR6
    else:
        assert answer not in (REFUSED, SILENT), "a container without IPv6 is reached over it all the same"
    with _second_address():
        street.neighbour_routes(SECOND4)
        assert street.ask(SECOND4, 8080, protocol) == NEIGHBOUR4


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_from_the_host_by_each_of_its_addresses(street: Street, box: Box, protocol: str) -> None:
    gateway = str(box.networks[_name(box)]["Gateway"])
    addresses = ["127.0.0.1", "127.0.0.9", HOST4, SECOND4, gateway, "::1", HOST6]
    addresses += [str(box.networks["own"]["IPv6Gateway"])] if _name(box) == "own" else []
    with _second_address():
        answers = {address: ask(street.host, address, 8080, protocol) for address in addresses}
    assert not {address: answer for address, answer in answers.items() if answer in (REFUSED, SILENT)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_from_containers_by_the_hosts_addresses(street: Street, box: Box, protocol: str) -> None:
    """Of the same network, of others, and the container itself (which needs its bridge port's hairpin)."""
    street.network("other")
    clients = {name: street.run(network=name) for name in ("bridge", "own", "other")} | {"itself": box}
    answers = {}
    for name, client in clients.items():
        networks = client.networks
        gateways = [str(one["Gateway"]) for one in networks.values()]
        for address in [HOST4, *gateways, *([HOST6] if "own" in networks else [])]:
            answers[name, address] = ask(client.netns, address, 8080, protocol, 2)
    assert not {key: answer for key, answer in answers.items() if answer in (REFUSED, SILENT)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_from_containers_by_the_gateways_of_other_networks(street: Street, box: Box, protocol: str) -> None:
    """Addresses of the host as any. The container is on two networks: no answer takes the short way past us."""
    other = street.network("other")
    clients = {name: street.run(network=name) for name in ("bridge", "own", "other")}
    other.connect(box.container)
    box.container.reload()
    answers = {}
    for name, client in {**clients, "itself": box}.items():
        for network, one in clients.items():
            gateway = str(one.networks[network]["Gateway"])
            answers[name, network] = ask(client.netns, gateway, 8080, protocol, 2)
    assert not {key: answer for key, answer in answers.items() if answer in (REFUSED, SILENT)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_of_another_network_is_seen_unless_its_answers_would_not_pass_here(
    street: Street, box: Box, protocol: str
) -> None:
    """The network's name comes after the others', so that the ports go on leading to where they led."""
    yonder = street.network6("yonder", "fd00:5:2::/64")
    client = street.run(network="yonder")
    addresses = {HOST4: client.address("yonder")}
    if _name(box) == "own":
        addresses[HOST6] = client.address("yonder", 6)

    def seen() -> dict[str, str]:
        return {host: ask(client.netns, host, 8080, protocol, 2) for host in addresses}

    assert seen() == addresses
    yonder.connect(box.container)
    near = seen()
    assert not {REFUSED, SILENT, *addresses.values()} & set(near.values())
    street.engine.kill()
    street.engine.start()
    assert seen() == near
    yonder.disconnect(box.container)
    assert seen() == addresses


def test_who_asks_on_is_answered_when_the_container_joins_his_network(street: Street, box: Box) -> None:
    """A flow that began before, whose answers take the short way from then on."""
    yonder = street.network6("yonder", "fd00:5:2::/64")
    client = street.run(network="yonder")
    pairs = [(HOST4, client.address("yonder"))]
    if _name(box) == "own":
        pairs.append((HOST6, client.address("yonder", 6)))

    def asked_on() -> list[str]:
        return [ask(client.netns, host, 8080, "udp", 1, source=(address, 777)) for host, address in pairs]

    assert asked_on() == [address for _, address in pairs]
    yonder.connect(box.container)
    assert until(lambda: not {REFUSED, SILENT} & set(asked_on()))
    assert not set(asked_on()) & {address for _, address in pairs}, "by the host's address now"


def test_a_connection_ends_when_its_answers_no_longer_pass_here(street: Street, box: Box) -> None:
    """With a reset, which says it, instead of with silence."""
    yonder = street.network("yonder")
    client = street.run(network="yonder")
    server = box.inside(lambda: listening("::", 84, False))
    with server, client.inside(lambda: socket.create_connection((HOST4, 8084), 3)) as connection:
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"x")
            assert connection.recv(1) == b"x"
            yonder.connect(box.container)

            def is_reset() -> bool:
                try:
                    connection.sendall(b"on")
                except (ConnectionResetError, BrokenPipeError):
                    return True
                return False

            assert until(is_reset, pause=0.1)


def test_what_was_known_of_a_containers_answers_goes_with_it(street: Street, box: Box) -> None:
    street.network("yonder").connect(box.container)
    address = box.address(_name(box))

    def told() -> bool:
        done = netns.run_inside(street.host, lambda: subprocess.run(["nft", "list", "ruleset"], capture_output=True))
        return address in done.stdout.decode()

    assert told()
    box.container.remove(force=True)
    assert not told()


def test_a_port_of_one_address_only(street: Street) -> None:
    street.network6("own", V6)
    by_port = {8080: HOST4, 8081: HOST6, 8082: "127.0.0.1", 8083: "::1"}
    box = street.run(network="own", ports={"80/tcp": [(address, port) for port, address in by_port.items()]})
    street.serve(box.netns)
    for port, address in by_port.items():
        assert ask(street.host, address, port) not in (REFUSED, SILENT), address
        others = [(other, port) for other in by_port.values() if other != address]
        assert ask_all(street.host, *others) <= {REFUSED, SILENT}
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    assert street.ask(HOST6, 8081) == NEIGHBOUR6
    assert street.ask_all((HOST6, 8080), (HOST4, 8081), (HOST4, 8082), (HOST6, 8083)) <= {REFUSED, SILENT}


@pytest.mark.parametrize("way", ["outside", "localhost", "localhost6", "outside6"])
def test_all_that_is_sent_comes_back_after_the_half_was_closed(street: Street, box: Box, way: str) -> None:
    """Eight megabytes; the server answers only when it has seen the client's end."""
    where, address = {
        "outside": (street.neighbour, HOST4),
        "outside6": (street.neighbour, HOST6),
        "localhost": (street.host, "127.0.0.1"),
        "localhost6": (street.host, "::1"),
    }[way]
    data = os.urandom(1 << 20) * 8
    with _echo(box):
        assert _sent_back(where, address, data) == data


@contextlib.contextmanager
def _echo(box: Box) -> Iterator[None]:
    """One connection on port 84: read to its end, then all of it back."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            connection.sendall(_all(connection))

    listener = box.inside(lambda: listening("::", 84, udp=False))
    with listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def _all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def _sent_back(where: int, address: str, data: bytes) -> bytes:
    with netns.run_inside(where, lambda: socket.create_connection((address, 8084), 10)) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return _all(client)


def test_sctp_is_sent_on_or_refused(street: Street) -> None:
    """A port is reserved by a socket; where the kernel has none of this protocol, that is said, as Docker says it."""
    try:
        box = street.run(ports={"80/sctp": 8080})
    except docker_py.errors.APIError as error:
        assert not _kernel_has_sctp()
        assert "protocol not supported" in str(error.explanation).lower()
        return
    host = ip("link", "show", LINK)[0]["address"]
    own = netns.run_inside(street.neighbour, lambda: ip("link", "show", "eth0"))[0]["address"]
    with Ears(box.netns, "eth0") as ears:
        packet = ip_packet(NEIGHBOUR4, HOST4, SCTP, sctp_init(4000, 8080))
        send_frame(street.neighbour, "eth0", frame(host, own, packet))
        (heard,) = [one for one in ears.heard() if one.protocol == SCTP]
    assert (heard.source, heard.port) == (NEIGHBOUR4, 80)


def _kernel_has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError:
        return False
    return True


def test_many_clients_at_once(street: Street, box: Box) -> None:
    targets = [(address, 8080, protocol) for address in (HOST4, HOST6) for protocol in PROTOCOLS] * 10
    assert not street.ask_all(*targets, seconds=3) & {REFUSED, SILENT}
    own = [(address, 8080, protocol) for address in ("127.0.0.1", "::1") for protocol in PROTOCOLS] * 10
    assert not ask_all(street.host, *own, seconds=3) & {REFUSED, SILENT}
