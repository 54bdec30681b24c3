"""Attack: a container asks a container of another network, by its address, for what was not published to it."""

import itertools

import pytest

from packets import Ears
from street import HOST4, REFUSED, SILENT, UNREACHABLE, Street, ask, ask_all

FAMILIES = (4, 6)


@pytest.mark.parametrize("published", [False, True])
def test_networks_do_not_reach_each_other(street: Street, published: bool) -> None:
    names = ("first", "second")
    for number, name in enumerate(names):
        street.network6(name, f"fd00:5:{number}::/64")
    boxes = {name: street.run(network=name, ports={"80/tcp": None} if published else {}) for name in names}
    boxes["bridge"] = street.run()
    for box in boxes.values():
        street.serve(box.netns), street.serve(box.netns, protocol="udp")
    for (_, attacker), (name, box) in itertools.permutations(boxes.items(), 2):
        addresses = [box.address(name, family) for family in (FAMILIES if name != "bridge" else (4,))]
        wanted = [(address, *port) for address in addresses for port in ((80,), (80, "udp"), (81,))]
        with Ears(box.netns, "eth0") as ears:
            assert ask_all(attacker.netns, *wanted, seconds=0.3) <= {SILENT, UNREACHABLE}
            assert not ears.heard(0.1)


def test_members_of_one_network_reach_each_other(street: Street) -> None:
    """What the others would prove nothing without."""
    street.network6("own", "fd00:5:1::/64")
    one, two = street.run(network="own"), street.run(network="own")
    street.serve(two.netns), street.serve(two.netns, protocol="udp")
    for family in FAMILIES:
        for protocol in ("tcp", "udp"):
            assert ask(one.netns, two.address("own", family), 80, protocol) == one.address("own", family)


def test_without_icc_not_even_members_reach_each_other(street: Street) -> None:
    street.network6("own", "fd00:5:1::/64", options={"com.docker.network.bridge.enable_icc": "false"})
    one, two = street.run(network="own"), street.run(network="own", ports={"80/tcp": 8080})
    service, datagrams = street.serve(two.netns), street.serve(two.netns, protocol="udp")
    outside = street.serve(street.neighbour)
    wanted = [(two.address("own", family), 80, protocol) for family in FAMILIES for protocol in ("tcp", "udp")]
    assert ask_all(one.netns, *wanted) == {SILENT}
    assert not service.seen + datagrams.seen
    assert ask(street.neighbour, HOST4, 8080) != REFUSED, "what is published is still reached"
    assert ask(one.netns, "192.0.2.9", 80) == HOST4, "and so is the world"
    assert outside.seen


def test_a_container_of_two_networks_is_no_bridge_between_them(street: Street) -> None:
    first, second = street.network("first"), street.network("second")
    between = street.run(network="first")
    second.connect(between.container)
    one, two = street.run(network="first"), street.run(network="second")
    street.serve(two.netns), street.serve(between.netns)
    assert ask(one.netns, between.address("first"), 80) == one.address("first")
    assert ask(two.netns, between.address("second"), 80) == two.address("second")
    assert ask(one.netns, two.address("second"), 80, seconds=0.5) == SILENT
    assert ask(one.netns, between.address("second"), 80, seconds=0.5) == SILENT, "of the other network"
    second.disconnect(between.container)
    assert ask(two.netns, between.address("first"), 80, seconds=0.5) == SILENT
    first.reload()
