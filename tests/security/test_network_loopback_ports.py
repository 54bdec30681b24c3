"""Attack: a port published on 127.0.0.1 or [::1] is for this host, and a neighbour on the link asks for it.

It routes 127.0.0.1 to the host, which a Docker before 28 answered (moby#45610, CVE-2025-54410 after a reload), or puts
the address into a frame itself.
"""

import itertools

from own_host import ip
from packets import TCP, Ears, frame, send_frame, tcp_syn, udp
from street import HOST4, HOST6, LINK, NEIGHBOUR4, NEIGHBOUR6, REFUSED, SILENT, Street, ask
from wardian.kernel import netns


def _reaches_for_loopback(street: Street) -> None:
    """The neighbour, whose own lo is down, takes 127.0.0.1 for an address in the net."""

    def change() -> None:
        ip("link", "set", "lo", "down")
        netns.write_sysctl("ipv4/conf/all/route_localnet", "1")
        netns.write_sysctl("ipv4/conf/eth0/route_localnet", "1")

    netns.run_inside(street.neighbour, change)
    street.neighbour_routes("127.0.0.1", "127.0.0.2")


def _macs(street: Street) -> tuple[str, str]:
    host = ip("link", "show", LINK)[0]["address"]
    return host, netns.run_inside(street.neighbour, lambda: ip("link", "show", "eth0"))[0]["address"]


def test_a_neighbour_that_routes_127_0_0_1_to_us_gets_nothing(street: Street) -> None:
    box = street.run(ports={"80/tcp": ("127.0.0.1", 8080), "80/udp": ("127.0.0.1", 8080)})
    tcp, datagrams = street.serve(box.netns), street.serve(box.netns, protocol="udp")
    assert ask(street.host, "127.0.0.1", 8080) not in (REFUSED, SILENT)
    assert ask(street.host, "127.0.0.1", 8080, "udp") not in (REFUSED, SILENT)
    known = len(tcp.seen), len(datagrams.seen)
    _reaches_for_loopback(street)
    with Ears(box.netns, "eth0") as ears:
        wanted = itertools.product(("127.0.0.1", "127.0.0.2", HOST4), (8080,), ("tcp", "udp"))
        assert street.ask_all(*wanted) <= {REFUSED, SILENT}
        assert not ears.heard()
    assert (len(tcp.seen), len(datagrams.seen)) == known


def test_frames_with_loopback_addresses_get_nothing(street: Street) -> None:
    box = street.run(ports={"80/tcp": ("127.0.0.1", 8080), "80/udp": ("127.0.0.1", 8080)})
    service = street.serve(box.netns, protocol="udp")
    assert ask(street.host, "127.0.0.1", 8080, "udp") != SILENT
    known = len(service.seen)
    packets = [
        make(source, "127.0.0.1")
        for source in (NEIGHBOUR4, "127.0.0.1", "127.0.0.9")
        for make in (lambda s, t: udp(s, t, 4000, 8080, b"in?"), lambda s, t: tcp_syn(s, t, 4000, 8080))
    ]
    packets += [udp(source, "::1", 4000, 8080, b"in?") for source in (NEIGHBOUR6, "::1")]
    packets += [udp("127.0.0.1", HOST4, 4000, 8080, b"in?"), udp("::1", HOST6, 4000, 8080, b"in?")]
    host, own = _macs(street)
    with Ears(box.netns, "eth0") as ears, Ears(street.neighbour, "eth0") as answers:
        send_frame(street.neighbour, "eth0", *(frame(host, own, packet) for packet in packets))
        assert not ears.heard()
        assert not [one for one in answers.heard(0) if one.protocol == TCP]
    assert len(service.seen) == known


def test_a_port_on_loopback_of_ipv6_is_for_this_host(street: Street) -> None:
    box = street.run(ports={"80/tcp": ("::1", 8080)})
    service = street.serve(box.netns)
    assert ask(street.host, "::1", 8080) not in (REFUSED, SILENT)
    assert street.ask_all((HOST6, 8080), (HOST4, 8080)) <= {REFUSED, SILENT}
    assert len(service.seen) == 1


def test_a_port_on_one_address_is_on_no_other(street: Street) -> None:
    box = street.run(ports={"80/tcp": (HOST4, 8080)})
    street.serve(box.netns)
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    assert street.ask(HOST6, 8080, seconds=0.5) in (REFUSED, SILENT)
    assert ask(street.host, "127.0.0.1", 8080, seconds=0.5) in (REFUSED, SILENT)
