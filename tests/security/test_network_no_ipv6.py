"""Attack: on a network without IPv6, containers reach each other and the host by link-local addresses (CVE-2024-32473),
past every rule that was written for IPv4."""

import pytest

from own_host import ip
from packets import Ears
from street import Street
from wardian.kernel import netns


@pytest.mark.parametrize("network", ["bridge", "own"])
def test_an_ipv4_network_has_no_ipv6_at_all(street: Street, network: str) -> None:
    if network == "own":
        street.network(network)
    with Ears(street.neighbour, "eth0"):
        box = street.run(network=network)
    links = {link["ifname"]: link for link in box.inside(lambda: ip("-6", "address"))}
    assert "eth0" not in links
    assert box.inside(lambda: ip("-6", "route", "show", "dev", "eth0")) == []
    assert box.inside(lambda: netns.read_sysctl("ipv6/conf/eth0/disable_ipv6")) == "1"
    assert box.address(network, 6) == ""


def test_the_link_of_an_internal_or_icc_free_network_neither(street: Street) -> None:
    street.network("inner", internal=True)
    street.network("apart", options={"com.docker.network.bridge.enable_icc": "false"})
    for name in ("inner", "apart"):
        assert street.run(network=name).inside(lambda: ip("-6", "address", "show", "dev", "eth0")) == []


def test_a_network_with_ipv6_has_it_and_one_connected_later_does_not(street: Street) -> None:
    street.network6("six", "fd00:5:1::/64")
    four = street.network("four")
    box = street.run(network="six")
    four.connect(box.container)
    by_link = {link["ifname"]: link["addr_info"] for link in box.inside(lambda: ip("-6", "address")) if link}
    assert box.address("six", 6) in [one["local"] for one in by_link["eth0"]]
    assert "eth1" not in by_link
