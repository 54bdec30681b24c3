"""A street: a host of the test's own with an engine on it, and a neighbour on the host's link that wants to get in.

All of it lives in network namespaces that nobody else uses (own_host.py), so nothing of the machine is attacked:

    neighbour  eth0 192.0.2.9, 2001:db8:5::9  ────  street0 192.0.2.1, 2001:db8:5::1  host, engine, its bridges

The host's default routes lead to the neighbour, so it is the world as well. Containers sleep; servers and clients are
sockets that a test opens in their namespaces. With WARDIAN_STREET=docker the engine is the newest Docker instead
(peers/bring): so it is seen that an attack is one, and what Docker does about it; with WARDIAN_STREET=iptables it is
ours with that firewall backend.
"""

import contextlib
import errno
import os
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import docker as docker_py
import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive
from newest import BRING
from own_host import ip, own_host
from wardian.home import Home
from wardian.kernel import netns

IMAGE = "street:1"
LINK = "street0"
HOST4, HOST6 = "192.0.2.1", "2001:db8:5::1"
NEIGHBOUR4, NEIGHBOUR6 = "192.0.2.9", "2001:db8:5::9"
REFUSED, SILENT = "ConnectionRefusedError", "TimeoutError"
UNREACHABLE = "ENETUNREACH"

_T = TypeVar("_T")


class Box(NamedTuple):
    """A running container, and a descriptor of its network namespace."""

    container: Any  # docker.models.containers.Container, which has no types
    netns: int

    @property
    def networks(self) -> dict[str, dict[str, Any]]:
        self.container.reload()
        found: dict[str, dict[str, Any]] = self.container.attrs["NetworkSettings"]["Networks"]
        return found

    def address(self, network: str = "bridge", family: int = 4) -> str:
        return str(self.networks[network]["IPAddress" if family == 4 else "GlobalIPv6Address"])

    def host_port(self, port: str = "80/tcp", index: int = 0) -> int:
        self.container.reload()
        return int(self.container.attrs["NetworkSettings"]["Ports"][port][index]["HostPort"])

    def inside(self, work: Callable[[], _T]) -> _T:
        return netns.run_inside(self.netns, work)


class Service:
    """Answers each client with the address that it sees of it: TCP connections and UDP packets."""

    def __init__(self, where: int, port: int = 80, protocol: str = "tcp", address: str = "::") -> None:
        self.seen: list[str] = []
        self._udp = protocol == "udp"
        self._socket = netns.run_inside(where, lambda: listening(address, port, self._udp))
        self._stop, self._told = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="service")
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def _serve(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._socket, selectors.EVENT_READ)
            ready.register(self._stop, selectors.EVENT_READ)
            while all(key.fd != self._stop for key, _ in ready.select()):
                with contextlib.suppress(OSError):
                    self._answer()

    def _answer(self) -> None:
        if self._udp:
            _, client = self._socket.recvfrom(2000)
            self.seen.append(plain(client[0]))
            self._socket.sendto(self.seen[-1].encode(), client)
        else:
            connection, client = self._socket.accept()
            with connection:
                self.seen.append(plain(client[0]))
                connection.sendall(self.seen[-1].encode())

    def close(self) -> None:
        os.close(self._told)
        self._thread.join()
        os.close(self._stop)
        self._socket.close()


def listening(address: str, port: int, udp: bool) -> socket.socket:
    """`::` takes both families, and IPv4 alone where the namespace has no IPv6 (ipv6(7), IPV6_V6ONLY)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
    made.bind((address, port))
    if not udp:
        made.listen(100)
    return made


def plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def ask(
    where: int,
    address: str,
    port: int,
    protocol: str = "tcp",
    seconds: float = 3,
    source: tuple[str, int] | None = None,
) -> str:
    """What a Service at this address answered somebody in the namespace `where`: the client's address that it saw.

    Or the name of the error that came instead: SILENT after `seconds`, REFUSED …
    """

    def client() -> str:
        try:
            if protocol == "udp":
                return _ask_udp(address, port, seconds, source)
            with socket.create_connection((address, port), seconds, source_address=source) as connection:
                return connection.recv(100).decode() or "nothing"
        except OSError as error:
            return type(error).__name__ if type(error) is not OSError else errno.errorcode[error.errno or 0]

    return netns.run_inside(where, client)


def _ask_udp(address: str, port: int, seconds: float, source: tuple[str, int] | None) -> str:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(seconds)
        if source:
            asking.bind(source)
        asking.connect((address, port))
        asking.send(b"who am I?")
        return asking.recv(100).decode()


def ask_all(where: int, *targets: tuple[Any, ...], seconds: float = 0.5) -> set[str]:
    """The different answers of all (address, port[, protocol]), asked at once: what stays silent is waited for once."""
    with ThreadPoolExecutor(len(targets)) as threads:
        return set(threads.map(lambda target: ask(where, *target, seconds=seconds), targets))


class Street:
    def __init__(self, url: str, host: int, neighbour: int, engine: TestEngine | None) -> None:
        self.url = url
        self.host = host
        self.neighbour = neighbour
        self._engine = engine
        self.docker = docker_py.DockerClient(base_url=url, version="auto", timeout=60)
        self.docker.images.load(docker_archive({IMAGE: busybox_image()}))
        self._proc = "/proc" if engine else f"/proc/{listener_of(url)}/root/proc"
        self._services: list[Service] = []
        self._boxes: list[Box] = []
        self._networks: list[Any] = []

    @property
    def engine(self) -> TestEngine:
        """Our engine; a test that needs what only it has is left out with another's."""
        if self._engine is None:
            pytest.skip("of our engine only")
        return self._engine

    def run(self, *command: str, **options: Any) -> Box:
        container = self.docker.containers.run(IMAGE, list(command or ("sleep", "1000")), detach=True, **options)
        try:
            container.reload()
            box = Box(container, os.open(f"{self._proc}/{container.attrs['State']['Pid']}/ns/net", os.O_RDONLY))
        except BaseException:
            container.remove(force=True)
            raise
        self._boxes.append(box)
        return box

    def network(self, name: str, **options: Any) -> Any:
        self._networks.append(self.docker.networks.create(name, **options))
        return self._networks[-1]

    def network6(self, name: str, subnet: str, **options: Any) -> Any:
        """A network with IPv4 and, in `subnet`, IPv6."""
        pool = docker_py.types.IPAMConfig(pool_configs=[docker_py.types.IPAMPool(subnet=subnet)])
        return self.network(name, enable_ipv6=True, ipam=pool, **options)

    def serve(self, where: int, port: int = 80, protocol: str = "tcp", address: str = "::") -> Service:
        self._services.append(Service(where, port, protocol, address))
        return self._services[-1]

    def ask(self, *arguments: Any, **options: Any) -> str:
        """As the neighbour."""
        return ask(self.neighbour, *arguments, **options)

    def ask_all(self, *targets: tuple[Any, ...], seconds: float = 0.5) -> set[str]:
        """As the neighbour."""
        return ask_all(self.neighbour, *targets, seconds=seconds)

    def neighbour_routes(self, *targets: str) -> None:
        """The neighbour sends what is for these by the host: addresses or subnets. Gone after the test."""
        for target in targets:
            via = HOST6 if ":" in target else HOST4
            netns.run_inside(self.neighbour, lambda target=target, via=via: ip("route", "replace", target, "via", via))

    def clear(self) -> None:
        """After each test: services, containers, networks, the neighbour's routes."""
        for service in self._services:
            service.close()
        for box in self._boxes:
            os.close(box.netns)
            with contextlib.suppress(docker_py.errors.NotFound):
                box.container.remove(force=True, v=True)
        for network in self._networks:
            with contextlib.suppress(docker_py.errors.NotFound):
                network.remove()
        for left in (self._services, self._boxes, self._networks):
            left.clear()  # type: ignore[attr-defined]
        for family in ("-4", "-6"):
            netns.run_inside(self.neighbour, lambda family=family: _forget_routes(family))


def listener_of(url: str) -> int:
    """The pid of an engine that may count in a pid namespace of its own (unix(7), SO_PEERCRED)."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(url.removeprefix("unix://"))
        return int(struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def _forget_routes(family: str) -> None:
    for route in ip(family, "route"):
        if route.get("gateway"):
            ip(family, "route", "delete", route["dst"], "via", route["gateway"])


def _neighbour(host: int) -> int:
    """Makes the neighbour and the link between it and the calling thread's host."""
    neighbour, _ = netns.create(lambda: ip("link", "set", "lo", "up"))
    ip("link", "add", LINK, "type", "veth", "peer", "eth0", "netns", f"/proc/{os.getpid()}/fd/{neighbour}")
    _set_up(LINK, HOST4, HOST6)
    netns.run_inside(neighbour, lambda: _set_up("eth0", NEIGHBOUR4, NEIGHBOUR6))
    ip("route", "add", "default", "via", NEIGHBOUR4)
    ip("-6", "route", "add", "default", "via", NEIGHBOUR6)
    return neighbour


def _set_up(link: str, ipv4: str, ipv6: str) -> None:
    ip("link", "set", link, "up")
    ip("address", "add", f"{ipv4}/24", "dev", link)
    ip("address", "add", f"{ipv6}/64", "dev", link, "nodad")


class Unavailable(Exception):
    """No newest Docker is to be had here."""


def unpack_docker() -> None:
    """Before `docker_here`, while there is a way to Debian's packages."""
    if done := subprocess.run([BRING, "unpack"]).returncode:
        raise Unavailable(f"tests/peers/bring unpack ended with {done}")


@contextlib.contextmanager
def docker_here() -> Iterator[str]:
    """The URL of a newest Docker's engine that runs in the calling thread's network namespace."""
    environment = {**os.environ, "WARDIAN_PEERS_NET": "caller"}
    serving = subprocess.Popen(
        [BRING, "serve"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert serving.stdin is not None and serving.stdout is not None
    with serving:
        url = serving.stdout.readline().strip()
        if not url:
            raise Unavailable(f"tests/peers/bring serve ended with {serving.wait(60)}")
        yield url
        serving.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            serving.wait(60)


@contextlib.contextmanager
def host_and_neighbour() -> Iterator[tuple[int, int]]:
    """Enters a host of one's own; descriptors of its namespace and of the neighbour's."""
    with own_host(), contextlib.ExitStack() as closing:
        host = netns.current()
        closing.callback(os.close, host)
        neighbour = _neighbour(host)
        closing.callback(os.close, neighbour)
        yield host, neighbour


@pytest.fixture(scope="module")
def whole_street(new_home: Callable[[], Home]) -> Iterator[Street]:
    """The module's host, neighbour and engine."""
    docker = os.environ.get("WARDIAN_STREET") == "docker"
    if docker:
        unpack_docker()
    with host_and_neighbour() as (host, neighbour), contextlib.ExitStack() as closing:
        engine = None
        if docker:
            url = closing.enter_context(docker_here())
        else:
            home = new_home()
            engine = TestEngine(home._replace(network_backend=os.environ.get("WARDIAN_STREET") or home.network_backend))
            closing.callback(engine.close)
            url = engine.url
        made = Street(url, host, neighbour, engine)
        closing.callback(made.docker.close)
        yield made


@pytest.fixture
def street(whole_street: Street) -> Iterator[Street]:
    try:
        yield whole_street
    finally:
        whole_street.clear()


def until(condition: Callable[[], bool], seconds: float = 2, pause: float = 0.01) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
