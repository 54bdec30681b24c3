"""Published ports by a whole engine: their sockets through its death, a container's restarts, changes of networks."""

import os
import re
import socket
import threading
from typing import Any

import docker as docker_py
import pytest

from own_host import ip
from street import HOST4, HOST6, NEIGHBOUR4, REFUSED, Box, Street, ask, until
from wardian.kernel import netns, procfs

PORTS = {"80/tcp": 8080, "80/udp": 8080}


def _supervisor(box: Box) -> int:
    box.container.reload()
    return int(procfs.status(box.container.attrs["State"]["Pid"])["PPid"])


def _relays(box: Box) -> list[int]:
    pid = _supervisor(box)
    children = [int(one) for one in procfs.read(f"/proc/{pid}/task/{pid}/children").split()]
    return [one for one in children if procfs.read(f"/proc/{one}/comm").strip() == "wardian-relay"]


def _free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """As a server finds it: connections of the last one may be in TIME_WAIT still."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family, kind) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    probe.listen()
            except OSError:
                return False
    return True


def _inside(street: Street, box: Box) -> Box:
    """The same container's namespace after a restart."""
    box.container.reload()
    fd = os.open(f"/proc/{box.container.attrs['State']['Pid']}/ns/net", os.O_RDONLY)
    os.dup2(fd, box.netns)
    os.close(fd)
    return box


def test_ports_outlive_the_engine_and_the_next_one_frees_them(street: Street) -> None:
    box = street.run(ports=PORTS)
    street.serve(box.netns), street.serve(box.netns, protocol="udp")
    street.engine.kill()
    for protocol in ("tcp", "udp"):
        assert street.ask(HOST4, 8080, protocol) == NEIGHBOUR4
        assert ask(street.host, "::1", 8080, protocol) not in (REFUSED, "TimeoutError")
    assert not _free(8080) and not _free(8080, socket.SOCK_DGRAM)
    street.engine.start()
    assert box.host_port() == 8080
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    box.container.kill()
    box.container.wait()
    assert _free(8080) and _free(8080, socket.SOCK_DGRAM)


def test_ports_are_free_whenever_an_end_is_told(street: Street) -> None:
    """Again and again with clients on the way: the next start finds the same port free, in any way of ending."""
    box = street.run("sh", "-c", "trap exit TERM; sleep 1000 & wait", ports=PORTS)
    for how in ("stop", "kill", "restart", "stop", "kill"):
        street.serve(_inside(street, box).netns)
        assert ask(street.host, "::1", 8080) != REFUSED
        getattr(box.container, how)()
        if how != "restart":
            box.container.wait()
            assert _free(8080) and _free(8080, socket.SOCK_DGRAM)
            box.container.start()


def test_a_relay_runs_only_for_what_no_rule_leads(street: Street) -> None:
    box = street.run(ports=PORTS)
    street.serve(box.netns), street.serve(box.netns, protocol="udp")
    for protocol in ("tcp", "udp"):
        assert street.ask(HOST4, 8080, protocol) == NEIGHBOUR4
        assert ask(street.host, "127.0.0.1", 8080, protocol) not in (REFUSED, "TimeoutError")
    assert _relays(box) == []
    assert ask(street.host, "::1", 8080) not in (REFUSED, "TimeoutError")
    assert street.ask(HOST6, 8080) not in (REFUSED, "TimeoutError")
    assert len(_relays(box)) == 1


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_taken_port_is_refused_in_dockers_sentence_with_its_owner(street: Street, protocol: str) -> None:
    box = street.run(ports=PORTS)
    with pytest.raises(docker_py.errors.APIError) as raised:
        street.run(name="second", ports={f"90/{protocol}": 8080})
    street.docker.containers.get("second").remove()
    said = raised.value.explanation
    assert raised.value.status_code == 500
    assert re.fullmatch(
        r"failed to set up container networking: driver failed programming external connectivity on endpoint second "
        r"\([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated "
        rf"\(process {_supervisor(box)} \(.*, container {box.container.id[:12]}\) has port 8080\)",
        said,
    ), said
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 8090))
        with pytest.raises(docker_py.errors.APIError, match="address already in use") as raised:
            street.run(name="second", ports={f"90/{protocol}": 8090})
        street.docker.containers.get("second").remove()
        if protocol == "udp":  # TCP: a kernel before 6.8 does not show a socket that is bound and does not listen
            assert f"process {os.getpid()} (" in raised.value.explanation


def test_one_of_many_ports_is_taken_and_none_is_kept(street: Street) -> None:
    street.run(ports=PORTS)
    with pytest.raises(docker_py.errors.APIError):
        street.run(name="second", ports={"70/tcp": 8070, "71/udp": 8071, "80/tcp": 8080})
    street.docker.containers.get("second").remove()
    assert _free(8070) and _free(8071, socket.SOCK_DGRAM)


def test_ports_move_with_the_networks_of_a_living_container(street: Street) -> None:
    own = street.network("own")
    box = street.run(ports=PORTS)
    service = street.serve(box.netns)
    before = _supervisor(box)
    own.connect(box.container)
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    street.docker.networks.get("bridge").disconnect(box.container)
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    assert ask(street.host, "::1", 8080) not in (REFUSED, "TimeoutError")
    own.disconnect(box.container)
    assert street.ask(HOST4, 8080) == REFUSED and _free(8080) and _free(8080, socket.SOCK_DGRAM)
    box.container.reload()
    assert not any(box.container.attrs["NetworkSettings"]["Ports"].values())
    own.connect(box.container)
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    assert ask(street.host, "::1", 8080) not in (REFUSED, "TimeoutError")
    assert _supervisor(box) == before and service.seen.count(NEIGHBOUR4) == 3


def test_a_sender_that_never_pauses_finds_the_container_after_a_restart(street: Street) -> None:
    """As a syslog daemon, or a tunnel: one UDP socket that sends on and on while the container is started again and has
    another address. Its packets follow, and it is seen as itself."""
    box = street.run(ports=PORTS)
    first = box.address()
    street.serve(box.netns, protocol="udp")
    sender = netns.run_inside(street.neighbour, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender.connect((HOST4, 8080))
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.01):
            try:
                sender.send(b"x")
            except ConnectionRefusedError:
                continue

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(2):
            box.container.kill()
            box.container.wait()
            taken = [street.run() for _ in range(2)]  # somebody else has the addresses that come next
            box.container.start()
            service = street.serve(_inside(street, box).netns, protocol="udp")
            assert until(lambda service=service: NEIGHBOUR4 in service.seen[-3:], 5), (first, service.seen[-3:])
            for one in taken:
                one.container.kill()
    finally:
        stop.set()
        thread.join()
        sender.close()


def test_a_routed_networks_ports_are_the_containers_own(street: Street) -> None:
    street.network("routed", options={"com.docker.network.bridge.gateway_mode_ipv4": "routed"})
    box = street.run(network="routed", ports={"80/tcp": 8080})
    street.serve(box.netns)
    box.container.reload()
    ports: Any = box.container.attrs["NetworkSettings"]["Ports"]["80/tcp"]
    assert ports == [{"HostIp": "0.0.0.0", "HostPort": ""}, {"HostIp": "::", "HostPort": "8080"}]
    street.neighbour_routes(box.address("routed"))
    assert street.ask(box.address("routed"), 80) == NEIGHBOUR4
    assert street.ask(HOST4, 8080) == REFUSED
    box.container.restart(timeout=0)
    assert street.ask(HOST4, 8080) == REFUSED


def test_a_host_port_on_an_address_that_comes_and_goes(street: Street) -> None:
    with pytest.raises(docker_py.errors.APIError, match="cannot assign requested address"):
        street.run(name="second", ports={"80/tcp": ("198.51.100.7", 8080)})
    ip("address", "add", "198.51.100.7/32", "dev", "street0")
    try:
        container = street.docker.containers.get("second")
        container.start()
        assert not _free(8080)
        container.remove(force=True)
    finally:
        ip("address", "delete", "198.51.100.7/32", "dev", "street0")
