"""Links and addresses that somebody deletes come back by themselves, with those that live on them."""

import os
import time
from collections.abc import Iterator

import pytest

from own_host import ip, own_host
from street import HOST4, NEIGHBOUR4, SILENT, Street, ask, until
from wardian.kernel import netns
from wardian.kernel.departures import Departures

ICC = "com.docker.network.bridge.enable_icc"
NAME = "com.docker.network.bridge.name"
V6 = "fd00:5:1::/64"


@pytest.fixture
def departures() -> Iterator[Departures]:
    with own_host():
        made = Departures()
        yield made
        made.close()


def test_only_what_went_is_told(departures: Departures) -> None:
    ip("link", "add", "one", "type", "veth", "peer", "two")
    ip("link", "add", "mid", "type", "bridge")
    index = ip("link", "show", "mid")[0]["ifindex"]
    ip("link", "set", "one", "master", "mid")
    ip("address", "add", "10.1.0.1/24", "dev", "mid")
    ip("link", "set", "one", "nomaster")
    assert departures.take() == (set(), {index}, True), "whose ports came and went"
    ip("address", "delete", "10.1.0.1/24", "dev", "mid")
    assert departures.take() == ({index}, set(), True)
    ip("link", "delete", "mid")
    assert departures.take() == ({index}, set(), True)


def test_a_deleted_bridge_is_back_before_anybody_uses_it(street: Street) -> None:
    street.network6("own", V6, options={ICC: "false"})
    one, two = street.run(network="own", ports={"80/tcp": 8080}), street.run(network="own")
    default = street.run(ports={"80/tcp": 8081})
    for box in (one, two, default):
        street.serve(box.netns)
    for link in (_link(street, "own"), street.engine.home.bridge):
        ip("link", "delete", link)
        assert until(lambda link=link: _is_there(link))
    assert until(lambda: street.ask(HOST4, 8080) == street.ask(HOST4, 8081) == NEIGHBOUR4)
    assert ask(street.host, one.address("own", 6), 80) == "fd00:5:1::1"
    assert ask(two.netns, NEIGHBOUR4, 4040) != SILENT
    assert ask(two.netns, one.address("own"), 80, seconds=0.4) == SILENT, "still apart"
    assert street.engine.log_text().count("it was put back") >= 2


def test_a_gateways_address_is_back(street: Street) -> None:
    street.network6("own", V6)
    box = street.run(network="own")
    link = _link(street, "own")
    before = _addresses(link)
    for address in (f"{box.networks['own']['Gateway']}/16", "fd00:5:1::1/64"):
        ip("address", "delete", address, "dev", link)
        assert until(lambda: _addresses(link) == before)
    ip("address", "flush", "dev", link)
    assert until(lambda: _addresses(link) >= before)
    assert ask(box.netns, NEIGHBOUR4, 4040) != SILENT


def test_what_was_the_hosts_own_or_is_removed_stays_away(street: Street) -> None:
    netns.run_inside(street.host, lambda: ip("link", "add", "theirs0", "type", "bridge"))
    street.network("borrowed", options={NAME: "theirs0"})
    street.run(network="borrowed")
    ip("link", "delete", "theirs0")
    street.network("removed").remove()
    time.sleep(0.3)
    names = {one["ifname"] for one in ip("link", "show", "type", "bridge")}
    assert names == {street.engine.home.bridge}


def test_containers_that_end_cost_the_watch_nothing(street: Street) -> None:
    """Their links' ends are told, and concern no bridge."""
    said = street.engine.log_text().count("put back")
    for _ in range(3):
        street.run().container.remove(force=True)
    time.sleep(0.2)
    assert street.engine.log_text().count("put back") == said


def _link(street: Street, network: str) -> str:
    return "br-" + street.docker.networks.get(network).id[:12]


def _is_there(link: str) -> bool:
    return os.path.basename(link) in {one["ifname"] for one in ip("link", "show", "type", "bridge")}


def _addresses(link: str) -> set[str]:
    return {one["local"] for one in ip("address", "show", "dev", link)[0]["addr_info"] if one["scope"] == "global"}
