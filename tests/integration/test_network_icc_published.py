"""A network whose members do not reach each other: what one publishes they reach by the host's address, as in Docker.

Whether the bridge shows its frames to the rules (br_netfilter) must make no difference to that.
"""

import contextlib
from collections.abc import Iterator

import pytest

from street import HOST4, HOST6, NEIGHBOUR4, NEIGHBOUR6, REFUSED, SILENT, Street, ask, ask_all
from wardian.kernel import netns

ICC = "com.docker.network.bridge.enable_icc"
V6 = "fd00:5:1::/64"


@pytest.fixture(params=["0", "1"], ids=["unseen", "br_netfilter"])
def bridged(street: Street, request: pytest.FixtureRequest) -> Iterator[Street]:
    names = [f"bridge/bridge-nf-call-{program}" for program in ("iptables", "ip6tables")]
    before = [netns.read_sysctl(name) for name in names]
    if request.param == "1" and None in before:
        pytest.skip("this kernel has no br_netfilter loaded")
    for name in names:
        netns.write_sysctl(name, request.param)
    try:
        yield street
    finally:
        for name, value in zip(names, before, strict=True):
            with contextlib.suppress(OSError):
                netns.write_sysctl(name, value or "1")


def test_a_published_port_is_reached_from_its_own_network(bridged: Street) -> None:
    bridged.network6("own", V6, options={ICC: "false"})
    bridged.network("other")
    ports = {"80/tcp": 8080, "80/udp": 8080, "81/tcp": (HOST4, 8081), "82/tcp": ("127.0.0.1", 8082)}
    one, two = bridged.run(network="own"), bridged.run(network="own", ports=ports)
    third = bridged.run(network="other", ports={"80/tcp": 8090})
    for port, protocol in ((80, "tcp"), (80, "udp"), (81, "tcp"), (82, "tcp"), (83, "tcp")):
        bridged.serve(two.netns, port, protocol)
    bridged.serve(third.netns)
    gateway = str(two.networks["own"]["Gateway"])
    for asker in (one, two):
        assert ask(asker.netns, HOST4, 8080) == gateway
        assert ask(asker.netns, HOST4, 8080, "udp") == gateway
        assert ask(asker.netns, HOST4, 8081) == gateway
        assert ask(asker.netns, gateway, 8080) == gateway
        assert ask(asker.netns, HOST6, 8080) == "fd00:5:1::1"
        assert ask(asker.netns, HOST6, 8080, "udp") == "fd00:5:1::1"
    assert ask(one.netns, HOST4, 8090) == one.address("own"), "another network's comes by the map"
    assert bridged.ask(HOST4, 8080) == NEIGHBOUR4 and bridged.ask(HOST6, 8080) == NEIGHBOUR6
    assert bridged.ask(HOST4, 8081) == NEIGHBOUR4
    shut = [(two.address("own", family), port) for family in (4, 6) for port in (80, 81, 83)]
    assert ask_all(one.netns, *shut) == {SILENT}, "by its own address nobody is"
    assert ask_all(one.netns, (HOST4, 8082), (HOST4, 83)) <= {REFUSED, SILENT}
    two.container.remove(force=True)
    assert ask(one.netns, HOST4, 8080) == REFUSED
