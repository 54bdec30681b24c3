"""A host that has its own IPv6 from router advertisements keeps it when a network asks for IPv6."""

from own_host import ip
from routers import believed, spoof
from street import LINK, NEIGHBOUR6, Street
from wardian.kernel import netns


def test_a_host_that_lives_by_advertisements_keeps_its_default_route(street: Street) -> None:
    """Forwarding makes a kernel deaf to routers unless it is told otherwise (accept_ra=2, kernel's ip-sysctl)."""
    netns.write_sysctl(f"ipv6/conf/{LINK}/accept_ra", "1")
    ip("-6", "route", "delete", "default", "via", NEIGHBOUR6)
    try:
        spoof(street.neighbour)
        before = believed(street.host)
        assert f"default by {LINK}" in before
        street.network6("own", "fd00:5:1::/64")
        street.run(network="own")
        spoof(street.neighbour)
        assert believed(street.host) == before
    finally:
        netns.write_sysctl(f"ipv6/conf/{LINK}/accept_ra", "0")
        for route in ip("-6", "route"):
            if route.get("protocol") == "ra":
                ip("-6", "route", "delete", route["dst"], "dev", LINK)
        for address in ip("-6", "address", "show", LINK)[0]["addr_info"]:
            if address["local"].startswith("2001:db8:bad:"):
                ip("address", "delete", f"{address['local']}/64", "dev", LINK)
        ip("-6", "route", "add", "default", "via", NEIGHBOUR6)
