"""Attack: a container says that it is a router (CVE-2020-13401), so that the host and others send by it.

Docker 28.5: its host does not believe it, its other containers on a network with IPv6 do.
"""

from routers import believed, spoof
from street import Street


def test_nobody_believes_a_container_that_says_it_is_a_router(street: Street) -> None:
    street.network6("own", "fd00:5:1::/64")
    for name in ("bridge", "own"):
        attacker, victim = street.run(network=name), street.run(network=name)
        spoof(attacker.netns)
        assert believed(street.host) == []
        assert believed(victim.netns) == []


def test_a_router_on_the_hosts_link_is_no_router_for_containers(street: Street) -> None:
    street.network6("own", "fd00:5:1::/64")
    box = street.run(network="own")
    spoof(street.neighbour)
    assert believed(box.netns) == []
