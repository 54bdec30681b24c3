"""A network on a bridge that the host had before: what the network changes there is as it was when it goes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import docker as docker_py
import pytest

from own_host import ip
from street import Street, ask
from wardian.kernel import netns
from wardian.network.borrowed import Borrowed

LINK = "theirs0"
OPTIONS = {"com.docker.network.bridge.name": LINK, "com.docker.network.driver.mtu": "1400"}
SYSCTLS = [f"ipv6/conf/{LINK}/{name}" for name in ("accept_ra", "accept_dad", "disable_ipv6")]
SYSCTLS.append(f"ipv4/conf/{LINK}/route_localnet")


@pytest.fixture
def theirs(street: Street) -> Iterator[Street]:
    ip("link", "add", LINK, "type", "bridge")
    ip("link", "set", LINK, "up")
    yield street
    street.clear()
    ip("link", "delete", LINK)


def _state() -> list[str | None]:
    return [*map(netns.read_sysctl, SYSCTLS), str(ip("link", "show", LINK)[0]["mtu"])]


def test_the_hosts_bridge_is_as_it_was(theirs: Street) -> None:
    before = _state()
    theirs.network("borrowed", options=OPTIONS)
    during = _state()
    assert [*before[:3], before[4]] != [*during[:3], during[4]] and during == ["0", "0", "1", "1", "1400"]
    theirs.engine.kill()
    theirs.engine.start()
    assert _state() == during
    theirs.docker.networks.get("borrowed").remove()
    assert _state() == before


def test_a_network_without_ipv6_is_put_on_a_bridge_with_the_hosts_ipv6(theirs: Street) -> None:
    ip("address", "add", "192.168.77.5/24", "dev", LINK)
    ip("address", "add", "2001:db8:7::7/64", "dev", LINK, "nodad")
    pool = docker_py.types.IPAMPool("192.168.77.0/24", gateway="192.168.77.1")
    theirs.network("borrowed", options=OPTIONS, ipam=docker_py.types.IPAMConfig(pool_configs=[pool]))
    box = theirs.run(network="borrowed")
    theirs.serve(box.netns)
    assert ask(theirs.host, box.address("borrowed"), 80) == "192.168.77.5"
    theirs.clear()
    left = {one["local"] for one in ip("address", "show", LINK)[0]["addr_info"]}
    assert {"192.168.77.5", "2001:db8:7::7"} <= left and "192.168.77.1" not in left


def test_what_its_owner_changed_since_is_his(theirs: Street) -> None:
    theirs.network("borrowed", options=OPTIONS)
    ip("link", "set", LINK, "mtu", "1300")
    theirs.docker.networks.get("borrowed").remove()
    assert _state()[4] == "1300"


def test_ipv6_that_the_host_gives_it_later_stays(theirs: Street) -> None:
    theirs.network("borrowed", options=OPTIONS)
    netns.write_sysctl(SYSCTLS[2], "0")
    ip("address", "add", "2001:db8:7::1/64", "dev", LINK, "nodad")
    theirs.engine.kill()
    theirs.engine.start()
    assert "2001:db8:7::1" in {one["local"] for one in ip("address", "show", LINK)[0]["addr_info"]}


def test_a_host_that_has_ipv6_there_hears_its_router_still(theirs: Street) -> None:
    """Its default route may be from there; on a bridge without the host's own IPv6 containers alone would be heard."""
    netns.write_sysctl(SYSCTLS[0], "2")
    ip("address", "add", "2001:db8:7::7/64", "dev", LINK, "nodad")
    theirs.network6("borrowed", "2001:db8:7::/64", options=OPTIONS)
    assert _state()[0] == "2"
    theirs.engine.kill()
    theirs.engine.start()
    assert _state()[0] == "2"
    ip("address", "delete", "2001:db8:7::7/64", "dev", LINK)
    theirs.engine.kill()
    theirs.engine.start()
    assert _state()[0] == "0", "the gateway's address is the network's own"


def test_a_bridge_with_a_network_card_keeps_its_ipv6(theirs: Street) -> None:
    """Before a router has spoken, as at boot, the host has no address there yet."""
    ip("link", "add", "wire0", "type", "veth", "peer", "wire1")
    ip("link", "add", "card0", "link", "wire0", "type", "macvlan")  # stands for a card: neither a veth nor a tap
    ip("link", "set", "card0", "master", LINK)
    before = _state()
    theirs.network("borrowed", options=OPTIONS)
    assert (_state()[0], _state()[2]) == (before[0], before[2]) != ("0", "1")
    ip("link", "delete", "wire0")


def test_what_was_kept_of_another_boot_or_link_is_not_given_back(tmp_path: Path) -> None:
    path = str(tmp_path / "bridges.json")
    given: list[tuple[str, str]] = []
    write: Callable[[str, str], None] = lambda what, value: given.append((what, value))  # noqa: E731
    first = Borrowed(path)
    first.change(7, "mtu", "1500", "1400")
    first.change(7, "mtu", "1400", "1300")
    Borrowed(path).give_back(8, lambda _: "1300", write)
    assert not given
    text = Path(path).read_text()
    Path(path).write_text(text.replace('"boot": "', '"boot": "not-'))
    Borrowed(path).give_back(7, lambda _: "1300", write)
    assert not given
    Path(path).write_text(text)
    Borrowed(path).give_back(7, lambda _: "1300", write)
    assert given == [("mtu", "1500")]
