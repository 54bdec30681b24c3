"""The firewall on a host of its own, with a neighbour on the link who routes everything to it and tries to get in.

One suite for both backends. Containers are namespaces behind bridges made here by hand: only the rules are on trial.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

import needs
from own_host import ip, nft, own_host
from wardian.errors import SYSTEM, WardianError
from wardian.kernel import netlink, netns
from wardian.network.firewall import BACKENDS, Firewall, open_firewall
from wardian.network.firewall.chains import MADE
from wardian.network.values import NetworkRules, PortRule

ONE = NetworkRules("wtfa0", ("172.30.1.0/24", "fd30:1::/64"))
TWO = NetworkRules("wtfb0", ("172.30.2.0/24", "fd30:2::/64"))
HOST4, HOST6 = "192.0.2.1", "fd99::1"
OUTSIDE4, OUTSIDE6 = "192.0.2.9", "fd99::9"


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            netns.write_sysctl(name, "1")
        for name in ("all", "default"):
            netns.write_sysctl(f"ipv6/conf/{name}/accept_dad", "0")
        yield


@pytest.fixture(params=BACKENDS)
def firewall(request: pytest.FixtureRequest, host: None) -> Iterator[Firewall]:
    if request.param == "iptables":
        needs.program("iptables-restore")
    made = open_firewall("wtfa0", request.param)
    yield made
    made.close()


class Place(NamedTuple):
    """A namespace, and its addresses."""

    fd: int
    v4: str
    v6: str


@pytest.fixture
def places(host: None) -> Iterator[Callable[..., Place]]:
    """Makes namespaces behind a link of the host: a bridge's port, or a link of its own."""
    made: list[int] = []

    def place(link: str, master: str, v4: str, v6: str, gateway4: str, gateway6: str) -> Place:
        fd, _ = netns.create(lambda: None)
        made.append(fd)
        with netlink.Netlink() as nl:
            bridge = nl.link(master) if master else None
            nl.send([netlink.new_veth(link, bridge.ifindex if bridge else 0, "eth0", fd)])
        if bridge:
            ip("link", "set", link, "type", "bridge_slave", "hairpin", "on")

        def inside() -> None:
            netns.write_sysctl("ipv6/conf/eth0/accept_dad", "0")
            with netlink.Netlink() as nl:
                eth0 = nl.link("eth0")
                assert eth0 is not None
                nl.send([netlink.link_up(1, "lo"), netlink.link_up(eth0.ifindex, "eth0")])
                nl.send([netlink.new_address(eth0.ifindex, "eth0", v4, 24)])
            ip("addr", "add", f"{v6}/64", "dev", "eth0", "nodad")
            ip("route", "add", "default", "via", gateway4)
            ip("-6", "route", "add", "default", "via", gateway6)

        netns.run_inside(fd, inside)
        return Place(fd, v4, v6)

    yield place
    for fd in made:
        os.close(fd)


def bridge(rules: NetworkRules) -> None:
    """A bridge as the driver makes it: gateway addresses, and 127/8 may be routed out of it."""
    ip("link", "add", rules.link, "type", "bridge")
    netns.write_sysctl(f"ipv6/conf/{rules.link}/accept_dad", "0")
    ip("link", "set", rules.link, "up")
    for subnet in rules.subnets:
        net, prefix = subnet.split("/")
        gateway = net + "1" if ":" in net else net[:-1] + "1"
        ip("addr", "add", f"{gateway}/{prefix}", "dev", rules.link, *(("nodad",) if ":" in net else ()))
    netns.write_sysctl(f"ipv4/conf/{rules.link}/route_localnet", "1")


class Town(NamedTuple):
    """Two networks with two containers each, and a neighbour on the host's outer link."""

    one: Place
    one_b: Place
    two: Place
    outside: Place


@pytest.fixture
def town(places: Callable[..., Place]) -> Town:
    bridge(ONE)
    bridge(TWO)
    outside = places("wtout", "", OUTSIDE4, OUTSIDE6, HOST4, HOST6)
    ip("link", "set", "wtout", "up")
    ip("addr", "add", f"{HOST4}/24", "dev", "wtout")
    ip("addr", "add", f"{HOST6}/64", "dev", "wtout", "nodad")
    return Town(
        places("wtva1", ONE.link, "172.30.1.2", "fd30:1::2", "172.30.1.1", "fd30:1::1"),
        places("wtva2", ONE.link, "172.30.1.3", "fd30:1::3", "172.30.1.1", "fd30:1::1"),
        places("wtvb1", TWO.link, "172.30.2.2", "fd30:2::2", "172.30.2.1", "fd30:2::1"),
        outside,
    )


class Server:
    """Answers each TCP connection, and each UDP datagram, with the client's address as it sees it."""

    def __init__(self, place: Place | None, port: int = 80) -> None:
        make = lambda: (_listener(socket.SOCK_STREAM, port), _listener(socket.SOCK_DGRAM, port))  # noqa: E731
        self._tcp, self._udp = make() if place is None else netns.run_inside(place.fd, make)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve_tcp, self._serve_udp)]
        for thread in self._threads:
            thread.start()

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, peer = self._tcp.accept()
            except OSError:
                return
            with connection:
                connection.sendall(_plain(peer[0]).encode())

    def _serve_udp(self) -> None:
        while True:
            try:
                data, peer = self._udp.recvfrom(100)
            except OSError:
                return
            if not data:
                return
            self._udp.sendto(_plain(peer[0]).encode(), peer)

    def close(self) -> None:
        for one in (self._tcp, self._udp):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(2)
        self._tcp.close()
        self._udp.close()


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def _listener(kind: socket.SocketKind, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6, kind)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


@pytest.fixture
def serve(town: Town) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(place: Place | None, port: int = 80) -> Server:
        made.append(Server(place, port))
        return made[-1]

    yield start
    for one in made:
        one.close()


NOTHING = "nothing"


def ask(place: Place | None, address: str, port: int, kind: str = "tcp", seconds: float = 1) -> str:
    """What the server at the address saw as the client; `NOTHING` when no answer came."""

    def inside() -> str:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as client:
            client.settimeout(seconds)
            try:
                client.connect((address, port))
                if kind == "udp":
                    client.send(b"?")
                return client.recv(100).decode() or NOTHING
            except OSError:
                return NOTHING

    return inside() if place is None else netns.run_inside(place.fd, inside)


def quick(place: Place | None, address: str, port: int, kind: str = "tcp") -> str:
    """The same where nothing is expected to answer."""
    return ask(place, address, port, kind, 0.3)


def silent(*tries: tuple[Place | None, str, int, str]) -> bool:
    """`quick` of each (place, address, port, kind) at once: is there `NOTHING` everywhere?"""
    with ThreadPoolExecutor(len(tries)) as threads:
        return set(threads.map(lambda one: quick(*one), tries)) == {NOTHING}


def port_of(place: Place, host_ip: str = "0.0.0.0", host_port: int = 8080, kind: str = "tcp") -> PortRule:
    address = place.v6 if ":" in host_ip else place.v4
    return PortRule(kind, host_ip, host_port, address, 80, ONE.link if "172.30.1." in place.v4 else TWO.link)


@pytest.mark.parametrize("bridged", ["1", "0"], ids=["with br_netfilter", "without br_netfilter"])
def test_a_published_port_is_reached_from_everywhere_and_sees_who_asks(
    firewall: Firewall, town: Town, serve: Callable[..., Server], bridged: str
) -> None:
    """br_netfilter shows frames of a bridge to these chains too; a Docker beside us turns it on."""
    for name in ("iptables", "ip6tables"):
        netns.write_sysctl(f"bridge/bridge-nf-call-{name}", bridged)
    serve(town.one)
    ports = [port_of(town.one, any_of, kind=kind) for any_of in ("0.0.0.0", "::") for kind in ("tcp", "udp")]
    firewall.apply([ONE, TWO], ports)
    for kind in ("tcp", "udp"):
        assert ask(town.outside, HOST4, 8080, kind) == OUTSIDE4
        assert ask(town.outside, HOST6, 8080, kind) == OUTSIDE6
        assert ask(None, HOST4, 8080, kind) == HOST4
        assert ask(None, HOST6, 8080, kind) == HOST6
        assert ask(None, "127.0.0.1", 8080, kind) == "172.30.1.1"
        assert ask(town.two, HOST4, 8080, kind) == town.two.v4
        assert ask(town.two, HOST6, 8080, kind) == town.two.v6
        assert ask(town.two, "172.30.1.1", 8080, kind) == town.two.v4, "the gateway is an address of the host's"
        assert ask(town.one_b, HOST4, 8080, kind) == "172.30.1.1", "its own network: the answer must take our way"
        assert ask(town.one, HOST4, 8080, kind) == "172.30.1.1", "itself"
        assert ask(town.one, HOST6, 8080, kind) == "fd30:1::1"
    firewall.remove()


def test_a_loopback_port_is_the_hosts_alone(firewall: Firewall, town: Town, serve: Callable[..., Server]) -> None:
    """A neighbour that routes 127.0.0.1 to us, and a container that does, must not get in."""
    serve(town.one)
    firewall.apply([ONE, TWO], [port_of(town.one, "127.0.0.1", 8080), port_of(town.one, "0.0.0.0", 8081)])
    assert ask(None, "127.0.0.1", 8080) == "172.30.1.1"
    assert ask(None, "127.0.0.1", 8081) == "172.30.1.1"
    places = (town.outside, town.one_b, town.two)
    assert silent(*((place, HOST4, 8080, "tcp") for place in places))
    for place in places:
        route_loopback_to_the_host(place)
        assert silent((place, "127.0.0.1", 8080, "tcp"), (place, "127.0.0.1", 8081, "tcp"))
    assert ask(town.outside, HOST4, 8081) == OUTSIDE4


def route_loopback_to_the_host(place: Place) -> None:
    """As root on its own machine may: 127.0.0.1 is no local address there, and leaves by eth0."""

    def inside() -> None:
        netns.write_sysctl("ipv4/conf/eth0/route_localnet", "1")
        ip("rule", "add", "pref", "32000", "lookup", "local")
        ip("rule", "del", "pref", "0")
        ip("rule", "add", "pref", "10", "to", "127.0.0.1", "lookup", "100")
        gateway = next(route["gateway"] for route in ip("route") if route["dst"] == "default")
        ip("route", "add", "127.0.0.1", "via", gateway, "src", place.v4, "table", "100")

    netns.run_inside(place.fd, inside)


def test_a_port_on_one_address_is_on_that_alone(firewall: Firewall, town: Town, serve: Callable[..., Server]) -> None:
    serve(town.one)
    ip("addr", "add", "192.0.2.77/24", "dev", "wtout")
    firewall.apply([ONE, TWO], [port_of(town.one, "192.0.2.77"), port_of(town.one, HOST6, 8081)])
    assert ask(town.outside, "192.0.2.77", 8080) == OUTSIDE4
    assert ask(None, "192.0.2.77", 8080) == HOST4
    assert ask(town.outside, HOST6, 8081) == OUTSIDE6
    for place, address in ((town.outside, HOST4), (None, "127.0.0.1"), (town.two, HOST4)):
        assert quick(place, address, 8080) == NOTHING
    assert quick(town.two, "fd30:2::1", 8081) == NOTHING


def test_a_containers_address_is_no_way_in(firewall: Firewall, town: Town, serve: Callable[..., Server]) -> None:
    """Not by a neighbour's route, not from another network, not to a published port either; the host may."""
    serve(town.one)
    firewall.apply([ONE, TWO], [port_of(town.one), port_of(town.one, "::")])
    addresses = (town.one.v4, town.one.v6)
    for kind in ("tcp", "udp"):
        assert silent(*((place, address, 80, kind) for place in (town.outside, town.two) for address in addresses))
        assert ask(None, town.one.v4, 80, kind) == "172.30.1.1"
        assert ask(None, town.one.v6, 80, kind) == "fd30:1::1"
        assert ask(town.one_b, town.one.v4, 80, kind) == town.one_b.v4
        assert ask(town.one_b, town.one.v6, 80, kind) == town.one_b.v6


def test_a_spoofed_answer_from_a_wrong_link_comes_to_nobody(
    firewall: Firewall, town: Town, serve: Callable[..., Server]
) -> None:
    """A neighbour that takes another's address cannot answer, in its place, into a container's connection."""
    firewall.apply([ONE, TWO], [])

    def listen() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((town.one.v4, 5000))
        made.settimeout(0.4)
        made.sendto(b"question", (OUTSIDE4, 53))  # an entry of the connection tracker's, by masquerade
        return made

    waiting = netns.run_inside(town.one.fd, listen)

    def forge() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
            forger.bind(("", 53))
            forger.sendto(b"forged", (town.one.v4, 5000))

    netns.run_inside(town.outside.fd, forge)
    with waiting, pytest.raises(TimeoutError):
        waiting.recv(100)


def test_containers_reach_the_world_with_the_hosts_address(
    firewall: Firewall, town: Town, serve: Callable[..., Server]
) -> None:
    serve(town.outside)
    firewall.apply([ONE, TWO._replace(masquerade=False)], [])
    assert ask(town.one, OUTSIDE4, 80) == HOST4
    assert ask(town.one, OUTSIDE6, 80) == HOST6
    assert ask(town.two, OUTSIDE4, 80) == town.two.v4, "no masquerade was asked for"
    assert ask(town.two, OUTSIDE6, 80) == town.two.v6


def test_containers_reach_the_world_with_the_address_that_their_network_names(
    firewall: Firewall, town: Town, serve: Callable[..., Server]
) -> None:
    """com.docker.network.host_ipv4 and host_ipv6."""
    serve(town.outside)
    other4, other6 = f"{HOST4}0", f"{HOST6}0"
    ip("addr", "add", f"{other4}/24", "dev", "wtout")
    ip("addr", "add", f"{other6}/64", "dev", "wtout", "nodad")
    firewall.apply([ONE._replace(source4=other4, source6=other6)], [])
    firewall.add_network(TWO._replace(source4=other4))
    assert (ask(town.one, OUTSIDE4, 80), ask(town.one, OUTSIDE6, 80)) == (other4, other6)
    assert ask(town.two, OUTSIDE4, 80) == other4
    firewall.remove_network(TWO.link)
    firewall.add_network(TWO)
    assert ask(town.two, OUTSIDE4, 80) == HOST4


def test_an_internal_network_has_no_way_in_or_out(firewall: Firewall, town: Town, serve: Callable[..., Server]) -> None:
    for place in (town.one, town.two, town.outside):
        serve(place)
    firewall.apply([ONE._replace(internal=True), TWO], [port_of(town.one), port_of(town.two, host_port=8082)])
    assert ask(town.one_b, town.one.v4, 80) == town.one_b.v4, "within it they talk"
    assert ask(None, town.one.v4, 80) == "172.30.1.1"
    assert silent(*((town.one, address, 80, "tcp") for address in (OUTSIDE4, OUTSIDE6, town.two.v4, town.two.v6)))
    by_port = [(town.one, address, 8082, "tcp") for address in (HOST4, "172.30.1.1")]
    assert silent(*by_port), "not by another network's published port either"
    targets = ((HOST4, 8080), (town.one.v4, 80))
    assert silent(*((place, *target, "tcp") for place in (town.outside, town.two) for target in targets))
    assert ask(town.outside, HOST4, 8082) == OUTSIDE4


def test_without_icc_containers_meet_by_published_ports_only(
    firewall: Firewall, town: Town, serve: Callable[..., Server]
) -> None:
    """The bridge ports' isolation keeps frames apart (the driver's part); here is what goes by the gateway. They meet
    at the socket of the host, which a supervisor relays."""
    serve(town.one)
    serve(None, 8080)
    firewall.apply([ONE._replace(icc=False), TWO], [port_of(town.one)])

    def by_gateway() -> None:
        ip("route", "add", f"{town.one.v4}/32", "via", "172.30.1.1")

    netns.run_inside(town.one_b.fd, by_gateway)
    for name in ("all", ONE.link):
        netns.write_sysctl(f"ipv4/conf/{name}/send_redirects", "0")
    assert quick(town.one_b, town.one.v4, 80) == NOTHING
    assert ask(town.one_b, HOST4, 8080) == town.one_b.v4, "seen by the host's own server"
    assert ask(town.outside, HOST4, 8080) == OUTSIDE4, "by the map"


def test_a_network_without_ipv6_has_none(firewall: Firewall, town: Town, serve: Callable[..., Server]) -> None:
    """Whatever its containers do with their links: the host's rules let no IPv6 of theirs pass."""
    serve(town.outside)
    firewall.apply([ONE._replace(subnets=("172.30.1.0/24",)), TWO], [])
    assert ask(town.one, OUTSIDE4, 80) == HOST4
    assert quick(town.one, OUTSIDE6, 80) == NOTHING
    assert ask(town.two, OUTSIDE6, 80) == HOST6


def test_gateway_mode_routed(firewall: Firewall, town: Town, serve: Callable[..., Server]) -> None:
    """The container's address is reached at its published port, and by ping; the host's port leads nowhere."""
    serve(town.one)
    serve(town.outside)
    rules = ONE._replace(mode4="routed", mode6="routed")
    firewall.apply([rules, TWO], [port_of(town.one), port_of(town.one, "::")])
    for place, v4, v6 in ((town.outside, OUTSIDE4, OUTSIDE6), (town.two, town.two.v4, town.two.v6)):
        assert ask(place, town.one.v4, 80) == v4
        assert ask(place, town.one.v6, 80) == v6
    assert quick(town.outside, HOST4, 8080) == NOTHING
    assert quick(town.outside, town.one.v4, 81) == NOTHING
    assert quick(town.outside, town.one.v4, 80, "udp") == NOTHING
    assert ask(town.one, OUTSIDE4, 80) == town.one.v4, "no masquerade"
    assert ping(town.outside, town.one.v4)
    assert ping(town.outside, town.one.v6)
    assert not ping(town.outside, town.two.v4)


def ping(place: Place, address: str) -> bool:
    """One echo request, by a datagram socket (icmp(7))."""

    def inside() -> bool:
        netns.write_sysctl("ipv4/ping_group_range", "0 0")
        v6 = ":" in address
        family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        with socket.socket(family, socket.SOCK_DGRAM, protocol) as echo:
            echo.settimeout(0.4)
            echo.sendto(bytes([128 if v6 else 8]) + bytes(7), (address, 0))
            try:
                return bool(echo.recv(100))
            except OSError:
                return False

    return netns.run_inside(place.fd, inside)


def test_gateway_mode_nat_unprotected(firewall: Firewall, town: Town, serve: Callable[..., Server]) -> None:
    """As nat, and whoever has a route may come to every port; other networks still may not."""
    serve(town.one)
    serve(town.one, 81)
    serve(town.outside)
    rules = ONE._replace(mode4="nat-unprotected", mode6="nat-unprotected")
    firewall.apply([rules, TWO], [port_of(town.one)])
    assert ask(town.outside, HOST4, 8080) == OUTSIDE4
    assert ask(town.outside, town.one.v4, 81) == OUTSIDE4
    assert ask(town.outside, town.one.v6, 81) == OUTSIDE6
    assert quick(town.two, town.one.v4, 81) == NOTHING
    assert quick(town.two, town.one.v6, 81) == NOTHING
    assert ask(town.one, OUTSIDE4, 80) == HOST4


def test_networks_and_ports_come_and_go_one_by_one(
    firewall: Firewall, town: Town, serve: Callable[..., Server]
) -> None:
    serve(town.one)
    serve(town.two)
    firewall.apply([], [])
    empty = ruleset()
    firewall.add_network(ONE)
    firewall.add_network(TWO)
    firewall.add_network(TWO)
    alone = ruleset()
    ports = [port_of(town.one), port_of(town.one, kind="udp"), port_of(town.one, "127.0.0.1", 8085)]
    firewall.add_ports(ports)
    firewall.add_ports(ports)
    assert ask(town.outside, HOST4, 8080) == OUTSIDE4
    firewall.remove_ports(ports[:1])
    assert quick(town.outside, HOST4, 8080) == NOTHING
    assert ask(town.outside, HOST4, 8080, "udp") == OUTSIDE4
    firewall.remove_ports(ports)
    assert ruleset() == alone
    firewall.add_ports([port_of(town.two)])
    assert ask(town.outside, HOST4, 8080) == OUTSIDE4
    firewall.remove_network(TWO.link)
    firewall.remove_network(TWO.link)
    assert quick(town.outside, HOST4, 8080) == NOTHING
    firewall.remove_network(ONE.link)
    assert ruleset() == empty
    firewall.remove()


def ruleset() -> list[str]:
    """All rules and elements there are, in no order: elements of a set are listed as they hash. Of iptables, those that
    do something: its own chains stay, and those that we made as long as we are there."""
    text = nft("-s", "list", "table", "inet", "wardian-wtfa0") if "wardian-wtfa0" in nft("list", "tables") else ""
    text = text.replace("{", "\n").replace("}", "\n").replace(",", "\n")
    for save in map(needs.program, ("iptables-save", "ip6tables-save")):
        saved = subprocess.run([save], capture_output=True, text=True, check=True, timeout=20).stdout
        text += "\n".join(line for line in saved.splitlines() if line.startswith("-A") and MADE not in line)
    lines = (line.strip().removeprefix("elements = ") for line in text.splitlines())
    return sorted(line for line in lines if line and line != "elements =")


def test_nothing_is_left(firewall: Firewall, town: Town) -> None:
    before = ruleset()
    firewall.apply([ONE, TWO], [port_of(town.one)])
    firewall.apply([ONE, TWO], [port_of(town.one)])
    assert ruleset() != before
    firewall.remove()
    assert ruleset() == before
    assert not [line for line in nft("list", "ruleset").splitlines() if "wardian" in line.lower() or "DOCKER" in line]


# ---- beside a Docker, whose FORWARD drops ----

DOCKER = """*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.31.0.2/32 ! -i wtdock0 -o wtdock0 -p tcp -m tcp --dport 81 -j ACCEPT
-A DOCKER ! -i wtdock0 -o wtdock0 -j DROP
-A DOCKER-FORWARD -o wtdock0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -o wtdock0 -j DOCKER
-A DOCKER-FORWARD -i wtdock0 -j ACCEPT
COMMIT
"""


@pytest.fixture
def beside_docker(town: Town, places: Callable[..., Place]) -> Place:
    """One of Docker's containers, behind its bridge and its rules."""
    for save in ("iptables-restore", "ip6tables-restore"):
        text = DOCKER if save == "iptables-restore" else "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"
        subprocess.run([needs.program(save)], input=text, text=True, check=True, timeout=20)
    bridge(NetworkRules("wtdock0", ("172.31.0.0/24", "fd31::/64")))
    return places("wtdock1", "wtdock0", "172.31.0.2", "fd31::2", "172.31.0.1", "fd31::1")


def test_beside_a_docker_all_ways_are_open(
    firewall: Firewall, town: Town, serve: Callable[..., Server], beside_docker: Place
) -> None:
    serve(town.one)
    serve(town.outside)
    firewall.apply([ONE, TWO], [port_of(town.one), port_of(town.one, "::")])
    assert ask(town.one, OUTSIDE4, 80) == HOST4
    assert ask(town.one, OUTSIDE6, 80) == HOST6
    assert ask(town.outside, HOST4, 8080) == OUTSIDE4
    assert ask(town.outside, HOST6, 8080) == OUTSIDE6
    assert ask(town.two, HOST4, 8080) == town.two.v4
    assert ask(town.one, HOST4, 8080) == "172.30.1.1"
    assert quick(town.outside, town.one.v4, 80) == NOTHING
    assert quick(town.two, town.one.v4, 80) == NOTHING


def test_dockers_containers_stay_apart_from_ours(
    firewall: Firewall, town: Town, serve: Callable[..., Server], beside_docker: Place
) -> None:
    """Why our rule is not in DOCKER-USER: an accept there would end the chain before Docker's own drop."""
    serve(town.one)
    serve(beside_docker)
    firewall.apply([ONE, TWO], [])
    assert ask(None, beside_docker.v4, 80) == "172.31.0.1"
    assert quick(town.one, beside_docker.v4, 80) == NOTHING
    assert quick(beside_docker, town.one.v4, 80) == NOTHING
    assert quick(beside_docker, town.one.v6, 80) == NOTHING


def test_the_bit_is_taken_off_before_a_packet_leaves(
    firewall: Firewall, town: Town, serve: Callable[..., Server]
) -> None:
    serve(town.one)
    serve(town.outside)
    firewall.apply([ONE, TWO], [port_of(town.one)])
    nft(
        commands="""table inet spy {
            counter marked {
            }
            counter seen {
            }
            chain last { type filter hook postrouting priority 300;
                counter name seen
                meta mark & 0x20000000 != 0 counter name marked
            }
        }
        """
    )
    assert ask(town.outside, HOST4, 8080) == OUTSIDE4
    assert ask(town.one, OUTSIDE4, 80) == HOST4
    assert ask(town.one, OUTSIDE6, 80) == HOST6
    assert "packets 0 " not in nft("list", "counter", "inet", "spy", "seen")
    assert "packets 0 " in nft("list", "counter", "inet", "spy", "marked")


def test_a_port_that_cannot_be_taken_out_is_not_put_back(
    firewall: Firewall, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its address is given to somebody else in a moment."""

    def refuse(*_: object) -> None:
        raise WardianError(SYSTEM, "refused", operation="nft")

    port = PortRule("tcp", "0.0.0.0", 18077, "172.30.1.2", 80, ONE.link)
    firewall.apply([ONE], [port])
    assert "18077" in nft("list", "ruleset")
    nft("flush", "ruleset")  # so that neither the part
    with monkeypatch.context() as refused:  # nor the whole is taken
        refused.setattr(firewall, "_make", refuse)
        firewall.remove_ports([port])
    assert "not taken out" in caplog.text
    assert firewall.mend()
    assert ONE.link in nft("list", "ruleset") and "18077" not in nft("list", "ruleset")
