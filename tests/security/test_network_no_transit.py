"""Attack: a neighbour routes by the host to what is behind its other links (a VPN, an inner network).

On a host that forwarded nothing this led nowhere, until an engine turned forwarding on for its containers. Docker sets
the policy of iptables' FORWARD to drop then, and leaves it so.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest

import needs
from engines import TestEngine
from own_host import ip, nft
from street import HOST4, HOST6, NEIGHBOUR4, NEIGHBOUR6, SILENT, Street, host_and_neighbour, until
from wardian.home import Home
from wardian.kernel import netns

BEYOND4, BEYOND6 = "198.51.100.9", "2001:db8:6::9"
TARGETS = ((BEYOND4, 80), (BEYOND6, 80))
V6 = "fd00:5:1::/64"
SHUT = {SILENT, "ENETUNREACH", "EHOSTUNREACH"}


class Crossing:
    """A host with two links, its engine, and what a neighbour on the one reaches of the other."""

    def __init__(self, street: Street, beyond: int) -> None:
        self.street = street
        self.beyond = beyond
        self.seen = [street.serve(beyond).seen]
        self.routed = street.network("routed", options={"com.docker.network.bridge.gateway_mode_ipv4": "routed"})
        street.network6("own", V6)
        self.open = street.run(network="own", ports={"80/tcp": 8080})
        self.far = street.run(network="routed", ports={"80/tcp": None})
        for box in (self.open, self.far):
            street.serve(box.netns)
        street.neighbour_routes(self.far.address("routed"))
        self.route()

    def route(self) -> None:
        self.street.neighbour_routes(BEYOND4, BEYOND6)

    def crosses(self) -> set[str]:
        return self.street.ask_all(*TARGETS)

    def is_crossed(self) -> bool:
        """With time for IPv6 to prove the links' addresses."""
        return self.street.ask_all(*TARGETS, seconds=4) == {NEIGHBOUR4, NEIGHBOUR6}

    def containers_work(self) -> None:
        street = self.street
        assert street.ask(HOST4, 8080) == NEIGHBOUR4
        assert street.ask(HOST6, 8080) == NEIGHBOUR6
        assert street.ask(self.far.address("routed"), 80) == NEIGHBOUR4
        assert self.open.inside(lambda: _reaches(BEYOND4)) and self.open.inside(lambda: _reaches(BEYOND6))


def _reaches(address: str) -> bool:
    with socket.create_connection((address, 80), 3) as connection:
        return bool(connection.recv(100))


@contextlib.contextmanager
def _beyond(host: int, link: str = "vpn0") -> Iterator[int]:
    """The namespace behind the host's second link."""
    beyond, _ = netns.create(lambda: ip("link", "set", "lo", "up"))
    try:
        ip("link", "add", link, "type", "veth", "peer", "eth0", "netns", f"/proc/{os.getpid()}/fd/{beyond}")
        for where, name, number in ((host, link, 1), (beyond, "eth0", 9)):
            netns.run_inside(where, lambda name=name, number=number: _set_up(name, number))
        netns.run_inside(beyond, lambda: ip("route", "add", "default", "via", "198.51.100.1"))
        netns.run_inside(beyond, lambda: ip("-6", "route", "add", "default", "via", "2001:db8:6::1"))
        yield beyond
    finally:
        os.close(beyond)


def _set_up(link: str, number: int) -> None:
    ip("link", "set", link, "up")
    ip("address", "add", f"198.51.100.{number}/24", "dev", link)
    ip("address", "add", f"2001:db8:6::{number}/64", "dev", link, "nodad")


def forwards(*values: str) -> tuple[str | None, ...]:
    for version, value in zip((4, 6), values, strict=False):
        netns.write_sysctl(f"ipv{version}/conf/all/forwarding", value)
    return tuple(netns.read_sysctl(f"ipv{version}/conf/all/forwarding") for version in (4, 6))


@pytest.fixture(params=["nftables", "iptables"])
def crossing(new_home: Callable[[], Home], request: pytest.FixtureRequest) -> Iterator[Callable[..., Crossing]]:
    if request.param == "iptables":
        needs.program("iptables-restore")
    with host_and_neighbour() as (host, neighbour), _beyond(host) as beyond, contextlib.ExitStack() as closing:

        def serve(forwarding: str, **options: bool) -> Crossing:
            assert forwards(forwarding, forwarding) == (forwarding, forwarding)
            engine = TestEngine(new_home()._replace(network_backend=request.param, **options))
            closing.callback(engine.close)
            street = Street(engine.url, host, neighbour, engine)
            closing.callback(street.docker.close)
            closing.callback(street.clear)
            return Crossing(street, beyond)

        yield serve


def warned(street: Street) -> list[str]:
    return [one for one in street.docker.info()["Warnings"] or [] if "forwarding was off" in one]


def test_a_host_that_was_no_router_is_none_for_others(crossing: Callable[..., Crossing]) -> None:
    made = crossing("0")
    street, engine = made.street, made.street.engine
    assert forwards() == ("1", "1")
    assert made.crosses() <= SHUT
    made.containers_work()
    assert len(warned(street)) == 1 and "IPv4 and IPv6" in warned(street)[0] and "dropped" in warned(street)[0]
    engine.kill()
    assert made.crosses() <= SHUT, "while the engine is down"
    engine.start()
    assert made.crosses() <= SHUT
    made.containers_work()
    assert engine.terminate() == 0
    assert made.crosses() <= SHUT
    engine.start()
    assert made.crosses() <= SHUT and warned(street)
    nft("flush", "ruleset")
    engine.kill()
    engine.start()
    assert made.crosses() <= SHUT, "flushed, whether it was seen or not"
    made.containers_work()
    assert BEYOND4 not in made.seen[0] and NEIGHBOUR4 not in made.seen[0]


def test_a_host_that_was_a_router_stays_one(crossing: Callable[..., Crossing]) -> None:
    made = crossing("1")
    assert made.is_crossed()
    made.containers_work()
    assert not warned(made.street)
    made.street.engine.kill()
    made.street.engine.start()
    assert made.is_crossed()
    made.street.clear()
    assert made.street.engine.terminate() == 0
    assert forwards() == ("1", "1")


def test_who_wants_a_router_gets_one(crossing: Callable[..., Crossing]) -> None:
    made = crossing("0", ip_forward_no_drop=True)
    assert made.is_crossed()
    assert "--ip-forward-no-drop" in warned(made.street)[0]
    made.street.clear()
    assert made.street.engine.terminate() == 0
    assert forwards() == ("1", "1")


def test_with_the_engines_last_word_the_host_is_no_router_again(crossing: Callable[..., Crossing]) -> None:
    made = crossing("0")
    redirects = netns.read_sysctl("ipv4/conf/all/accept_redirects")
    made.street.clear()
    assert made.street.engine.terminate() == 0
    assert forwards() == ("0", "0")
    assert redirects == "0" and netns.read_sysctl("ipv4/conf/all/accept_redirects") == "1", "as it was"
    assert "drop" not in nft("list", "ruleset")
    made.street.engine.start()
    assert forwards() == ("1", "0")
    made.route()
    made.street.serve(made.beyond, 81)
    assert made.street.ask(BEYOND4, 81, seconds=0.5) in SHUT


def test_what_others_set_up_later_goes_on(crossing: Callable[..., Crossing]) -> None:
    """Another engine's or machine's bridge that came by then is its owner's to judge; and it keeps the host a router,
    which is still none for a neighbour."""
    made = crossing("0")
    ip("link", "add", "others0", "type", "bridge")
    ip("address", "add", "198.18.0.1/24", "dev", "others0")
    ip("link", "set", "others0", "up")
    inner, _ = netns.create(lambda: ip("link", "set", "lo", "up"))
    try:
        ip("link", "add", "others1", "type", "veth", "peer", "eth0", "netns", f"/proc/{os.getpid()}/fd/{inner}")
        ip("link", "set", "others1", "master", "others0", "up")
        netns.run_inside(inner, lambda: ip("address", "add", "198.18.0.9/24", "dev", "eth0"))
        netns.run_inside(inner, lambda: ip("link", "set", "eth0", "up"))
        netns.run_inside(inner, lambda: ip("route", "add", "default", "via", "198.18.0.1"))
        if made.street.engine.home.network_backend == "nftables":
            made.street.serve(inner, 82)
            made.street.neighbour_routes("198.18.0.9")
            assert made.street.ask("198.18.0.9", 82) == NEIGHBOUR4
        made.street.clear()
        assert made.street.engine.terminate() == 0
        assert forwards() == ("1", "1")
        made.route()
        made.street.serve(made.beyond, 81)
        assert made.street.ask_all((BEYOND4, 81), (BEYOND6, 81)) <= SHUT
        ip("link", "delete", "others0")
        made.street.engine.start()
    finally:
        os.close(inner)


def _card() -> None:
    """Neither a veth nor a tap."""
    ip("link", "add", "wire0", "type", "veth", "peer", "wire1")
    ip("link", "add", "card0", "link", "wire0", "type", "macvlan")


def _bridge_on_card(bridge: str = "lan0") -> None:
    ip("link", "add", bridge, "type", "bridge")
    ip("link", "set", "card0", "master", bridge)


def _bridge_to_beyond(bridge: str = "lan0") -> None:
    """What was behind the host's second link is behind this one."""
    ip("link", "set", "vpn0", "master", bridge)
    ip("address", "flush", "dev", "vpn0")
    _set_up(bridge, 1)


@pytest.mark.parametrize("when", ["before the engine", "while it runs", "while it is down"])
def test_a_bridge_on_a_card_is_a_way_in_as_the_card_is(crossing: Callable[..., Crossing], when: str) -> None:
    _card()
    if when == "before the engine":
        _bridge_on_card()
    made = crossing("0")
    if when == "while it is down":
        made.street.engine.kill()
    if when != "before the engine":
        _bridge_on_card()
    _bridge_to_beyond()
    assert made.crosses() <= SHUT
    if when == "while it is down":
        made.street.engine.start()
        assert made.crosses() <= SHUT
    assert made.open.inside(lambda: _reaches(BEYOND4))
    assert made.street.ask(HOST4, 8080) == NEIGHBOUR4


def test_a_bridge_is_what_is_on_it(crossing: Callable[..., Crossing]) -> None:
    """One for somebody's containers that gets a card is the host's from then on; and it is theirs again without it."""
    _card()
    made = crossing("0")
    passes = {NEIGHBOUR4, NEIGHBOUR6} if made.street.engine.home.network_backend == "nftables" else SHUT
    ip("link", "add", "some0", "type", "bridge")
    _bridge_to_beyond("some0")
    assert until(lambda: made.crosses() <= passes, 8), "IPv6 takes its time to prove the link's address"
    ip("link", "set", "card0", "master", "some0")
    assert until(lambda: made.crosses() <= SHUT)
    made.street.engine.kill()
    made.street.engine.start()
    assert made.crosses() <= SHUT
    ip("link", "set", "card0", "nomaster")
    assert until(lambda: made.crosses() <= passes, 8), "IPv6 takes its time to prove the link's address"
