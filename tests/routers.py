"""Routers that say they are one: spoofed advertisements, and who believed them."""

import socket
import time

from own_host import ip
from packets import frame, router_advertisement, send_frame
from wardian.kernel import netns

PREFIX = "2001:db8:bad::/64"
ALL_NODES = "33:33:00:00:00:01"


def spoof(where: int, link: str = "eth0") -> None:
    """As root of a container may: with CAP_NET_RAW, and IPv6 switched on by itself where it can."""
    mac = netns.run_inside(where, lambda: ip("link", "show", link))[0]["address"]
    packet = router_advertisement(_link_local(mac), mac, PREFIX)
    for _ in range(3):
        send_frame(where, link, frame(ALL_NODES, mac, packet))
        time.sleep(0.1)


def _link_local(mac: str) -> str:
    """RFC 4291, appendix A."""
    part = bytes.fromhex(mac.replace(":", ""))
    packed = b"\xfe\x80" + bytes(6) + bytes([part[0] ^ 2]) + part[1:3] + b"\xff\xfe" + part[3:]
    return socket.inet_ntop(socket.AF_INET6, packed)


def believed(where: int) -> list[str]:
    """Routes and addresses that came from the router."""

    def look() -> list[str]:
        routes = [f"{route['dst']} by {route['dev']}" for route in ip("-6", "route") if route.get("protocol") == "ra"]
        addresses = [one["local"] for link in ip("-6", "address") for one in link["addr_info"]]
        return routes + [address for address in addresses if address.startswith("2001:db8:bad:")]

    return netns.run_inside(where, look)
