"""UDP flows past a change of ports: nft rules by hand stand for the firewall's, conntrack(8) is not needed."""

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from own_host import ip, nft, own_host
from wardian.kernel import netlink, netns
from wardian.kernel.conntrack import Conntrack
from wardian.network.flows import forget_flows
from wardian.network.values import PortRule

OUTER = "192.0.2.1"
CLIENT = "192.0.2.2"
FIRST, SECOND = "10.78.0.2", "10.78.0.3"
TRACK = """
table ip t {
    chain pre {
        type nat hook prerouting priority -100;
        RULE
    }
    chain any {
        type filter hook forward priority 0;
        ct state established accept
    }
}
"""


@pytest.fixture
def neighbours() -> Iterator[tuple[int, int]]:
    """A host between a client and two addresses of containers: the namespaces of client and containers."""
    with own_host():
        client, _ = netns.create(lambda: None)
        containers, _ = netns.create(lambda: None)
        with netlink.Netlink() as nl:
            nl.send([netlink.new_veth("out", 0, "eth0", client), netlink.new_veth("in", 0, "eth0", containers)])
        ip("address", "add", f"{OUTER}/24", "dev", "out")
        ip("address", "add", "10.78.0.1/24", "dev", "in")
        netns.run_inside(client, lambda: _plug(f"{CLIENT}/24", OUTER))
        netns.run_inside(containers, lambda: _plug(f"{FIRST}/24", "10.78.0.1", f"{SECOND}/24"))
        netns.write_sysctl("ipv4/ip_forward", "1")
        nft(commands=TRACK.replace("RULE", ""))  # tracking begins with the first who asks for it
        try:
            yield client, containers
        finally:
            os.close(client)
            os.close(containers)


def _plug(address: str, gateway: str, more: str = "") -> None:
    ip("link", "set", "eth0", "up")
    for one in (address, more) if more else (address,):
        ip("address", "add", one, "dev", "eth0")
    ip("route", "add", "default", "via", gateway)


def lead(address: str) -> PortRule:
    nft("delete", "table", "ip", "t")
    nft(commands=TRACK.replace("RULE", f"udp dport 5353 dnat to {address}:53"))
    return PortRule("udp", "0.0.0.0", 5353, address, 53, "in")


def forget(gone: list[PortRule], come: list[PortRule]) -> None:
    thread = forget_flows(gone, come)
    assert thread is not None
    thread.join(5)


def udp(namespace: int, address: str, port: int) -> socket.socket:
    made = netns.run_inside(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.bind((address, port))
    made.settimeout(1)
    return made


def test_a_sender_that_does_not_pause_follows_the_port(neighbours: tuple[int, int]) -> None:
    client, containers = neighbours
    with udp(client, CLIENT, 777) as sender, udp(containers, FIRST, 53) as one, udp(containers, SECOND, 53) as two:

        def reaches(whom: socket.socket) -> bool:
            sender.sendto(b"x", (OUTER, 5353))
            with contextlib.suppress(TimeoutError):
                return whom.recvfrom(10)[1] == (CLIENT, 777)
            return False

        sender.sendto(b"early", (OUTER, 5353))  # nobody there: the flow is the host's own
        first = lead(FIRST)
        assert not reaches(one)
        forget([], [first])
        assert reaches(one)
        second = lead(SECOND)
        assert reaches(one)  # the kernel goes on as it began
        forget([first], [second])
        assert reaches(two)
        nft("delete", "table", "ip", "t")
        nft(commands=TRACK.replace("RULE", ""))
        assert reaches(two)
        forget([second], [])
        assert not reaches(two)


def test_what_passes_through_the_host_is_left_alone(neighbours: tuple[int, int]) -> None:
    client, containers = neighbours
    with udp(client, CLIENT, 777) as sender, udp(containers, FIRST, 5353) as far:
        sender.sendto(b"x", (FIRST, 5353))
        assert far.recv(10) == b"x"
        forget([], [PortRule("udp", "0.0.0.0", 5353, SECOND, 53, "in")])
        with Conntrack() as tracking:
            (flow,) = tracking.flows_to(socket.AF_INET, socket.IPPROTO_UDP, 5353)
        assert (flow.destination, flow.answers_from) == (FIRST, FIRST)


def test_tcp_needs_no_thread() -> None:
    assert forget_flows([PortRule("tcp", "0.0.0.0", 80, FIRST, 80, "in")], []) is None
