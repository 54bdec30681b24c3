"""Published ports without any rule: the supervisor's sockets, and the relay that carries what reaches one, both under
sanitizers. The container is a namespace behind a veth; its servers are threads of the test."""

import asyncio
import contextlib
import errno
import hashlib
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import launched
import needs
from own_host import ip, own_host
from supervised import REPOSITORY, SANITIZE, Supervised, compile_c, supervised
from wardian.errors import CONFLICT, SYSTEM, WardianError
from wardian.kernel import netlink, netns, procfs
from wardian.network import ports
from wardian.network.owners import owner_of
from wardian.network.ports import PortBook, Target
from wardian.network.values import HeldPort, PortWant
from wardian.runtime import LaunchError, launch
from wardian.runtime.supervisor import Publication, SupervisorClient

INSIDE4, INSIDE6 = "10.77.0.2", "fd77::2"
HERE4, HERE6 = "10.77.0.1", "fd77::1"
TARGET = Target(INSIDE4, INSIDE6, "pub0", "pub0")
TARGET4 = Target(INSIDE4, "", "pub0", "")
SLEEPER = ["/bin/sleep", "600"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    needs.program("gcc")
    return compile_c("supervised.c", str(tmp_path_factory.mktemp("published") / "supervised"))


@pytest.fixture
def inside() -> Iterator[int]:
    """A host of the test's own with a container's namespace behind a link; no rule anywhere. Yields the namespace."""
    with own_host():
        namespace, _ = netns.create(_loopback)
        try:
            with netlink.Netlink() as nl:
                nl.send([netlink.new_veth("pub0", 0, "eth0", namespace)])
                link = nl.link("pub0")
                assert link is not None
            ip("address", "add", f"{HERE4}/24", "dev", "pub0")
            ip("address", "add", f"{HERE6}/64", "dev", "pub0", "nodad")
            netns.run_inside(namespace, _addresses)
            yield namespace
        finally:
            os.close(namespace)


def _loopback() -> None:
    with netlink.Netlink() as nl:
        nl.send([netlink.link_up(1, "lo")])


def _addresses() -> None:
    ip("link", "set", "eth0", "up")
    ip("address", "add", f"{INSIDE4}/24", "dev", "eth0")
    ip("address", "add", f"{INSIDE6}/64", "dev", "eth0", "nodad")


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 100))


class Server:
    """A TCP server in the container: `handle` has each connection, in a thread of its own."""

    def __init__(
        self, namespace: int, port: int, handle: Callable[[socket.socket], None], address: str = INSIDE4
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = netns.run_inside(namespace, lambda: socket.socket(family, socket.SOCK_STREAM))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(4096)
        self._handle = handle
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._handle(client)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()  # or it would go on with whatever has the descriptor's number next
        self.socket.close()


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def digest(client: socket.socket) -> None:
    """Answers only when the client has finished: with half-close or never."""
    found = hashlib.sha256()
    while data := client.recv(65536):
        found.update(data)
    client.sendall(found.digest())


def read_all(connection: socket.socket) -> bytes:
    found = bytearray()
    while data := connection.recv(65536):
        found += data
    return bytes(found)


def connect(address: str, port: int, timeout: float = 10) -> socket.socket:
    return socket.create_connection((address, port), timeout)


def as_many_as_go(connected: Callable[[], socket.socket], tries: int) -> list[socket.socket]:
    """The connections that an echo server answers; the others were refused at once or soon, and none hangs."""
    found = []
    for _ in range(tries):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection = connected()
            connection.sendall(b"x")
            if connection.recv(1) == b"x":
                found.append(connection)
    return found


async def inside_thread(work: Callable[[], Any]) -> Any:
    """Blocking work beside the event loop; a new thread is where its maker is: in the test's own host."""
    return await asyncio.to_thread(work)


@contextlib.asynccontextmanager
async def published(
    program: str, directory: str, wants: Sequence[PortWant], target: Target = TARGET4, command: Sequence[str] = SLEEPER
) -> Any:
    """A supervisor that holds what is wanted, and the ports."""
    held = PortBook().book(wants, target)
    try:
        async with supervised(program, directory, command) as s:
            await s.client.publish(ports.publications(held, target))
            ports.close_ports(held)
            opened, held = held, ()
            try:
                yield s, opened
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(s.pid, signal.SIGKILL)
            await s.exit()
    finally:
        ports.close_ports(held)


def relays(s: Supervised) -> list[int]:
    return [
        int(pid)
        for pid in procfs.read(f"/proc/{s.process.pid}/task/{s.process.pid}/children").split()
        if _is_relay(int(pid))
    ]


async def one_relay(s: Supervised) -> int:
    """The relay, which is begun a moment after the kernel has taken the first connection."""
    deadline = time.monotonic() + 5
    while not relays(s) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    (relay,) = relays(s)
    return relay


def _is_relay(pid: int) -> bool:
    return procfs.read(f"/proc/{pid}/comm").strip() == "wardian-relay"


def tcp(port: int, inner: int = 80, address: str = "") -> PortWant:
    return PortWant(inner, "tcp", address, port, port)


def udp(port: int, inner: int = 53, address: str = "") -> PortWant:
    return PortWant(inner, "udp", address, port, port)


# ---- TCP ----


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", HERE4, HERE6])
def test_every_address_of_the_host_reaches_an_ipv4_only_container(
    program: str, inside: int, tmp_path: Any, address: str
) -> None:
    server = Server(inside, 80, echo)

    def ask() -> bytes:
        with connect(address, 8080) as connection:
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, held):
            assert [port.host_ip for port in held] == ["0.0.0.0", "::"]
            assert await inside_thread(ask) == b"hello"
            assert len(relays(s)) == 1

    run(test())
    server.close()


def test_each_family_reaches_its_own_address(program: str, inside: int, tmp_path: Any) -> None:
    four = Server(inside, 80, lambda client: client.sendall(b"four"))
    six = Server(inside, 80, lambda client: client.sendall(b"six"), INSIDE6)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)], TARGET):
            for address, said in (("127.0.0.1", b"four"), ("::1", b"six")):
                assert await inside_thread(lambda a=address: read_all(connect(a, 8080))) == said

    run(test())
    four.close()
    six.close()


def test_half_close_both_ways_and_every_byte(program: str, inside: int, tmp_path: Any) -> None:
    data = random.Random(1).randbytes(20 << 20)
    server = Server(inside, 80, digest)
    sender = Server(inside, 81, lambda client: (client.sendall(data), client.shutdown(socket.SHUT_WR), echo(client))[0])

    def upload() -> bytes:
        with connect("::1", 8080) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def download() -> bytes:
        with connect("::1", 8081) as connection:
            return hashlib.sha256(read_all(connection)).digest()

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080), tcp(8081, 81)]):
            wanted = hashlib.sha256(data).digest()
            assert await inside_thread(upload) == wanted
            assert await inside_thread(download) == wanted

    run(test())
    server.close()
    sender.close()


def test_a_slow_peer_blocks_nobody(program: str, inside: int, tmp_path: Any) -> None:
    """Clients that do not read what is sent to them: they keep the relay neither from others nor from sleeping."""

    def pour(client: socket.socket) -> None:
        block = bytes(65536)
        while True:
            client.sendall(block)

    flood, server = Server(inside, 81, pour), Server(inside, 80, echo)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080), tcp(8081, 81)]) as (s, _):
            slow = [await inside_thread(lambda: connect("::1", 8081)) for _ in range(20)]
            await asyncio.sleep(0.5)
            started = time.monotonic()
            for _ in range(20):

                def ask() -> bytes:
                    with connect("::1", 8080) as connection:
                        connection.sendall(b"x")
                        return connection.recv(10)

                assert await inside_thread(ask) == b"x"
            assert time.monotonic() - started < 2
            relay = await one_relay(s)
            before = _cpu_ticks(relay)
            await asyncio.sleep(0.5)
            assert _cpu_ticks(relay) - before <= 5
            for one in slow:
                one.close()

    run(test())
    flood.close()
    server.close()


def _cpu_ticks(pid: int) -> int:
    fields = procfs.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_closed_port_of_the_container_resets_the_client(program: str, inside: int, tmp_path: Any) -> None:
    def ask() -> bytes:
        with connect("::1", 8080) as connection:
            return connection.recv(1)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]):
            with pytest.raises(ConnectionResetError):
                await inside_thread(ask)

    run(test())


def test_half_an_answer_is_not_taken_for_a_whole_one(program: str, inside: int, tmp_path: Any) -> None:
    def break_off(client: socket.socket) -> None:
        client.sendall(b"half")
        time.sleep(0.2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server = Server(inside, 80, break_off)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]):
            with pytest.raises(ConnectionResetError):
                await inside_thread(lambda: read_all(connect("::1", 8080)))

    run(test())
    server.close()


def test_many_connections_at_once(program: str, inside: int, tmp_path: Any) -> None:
    server = Server(inside, 80, echo)

    def ask() -> None:
        connections = [connect("::1", 8080) for _ in range(300)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%d" % number)
        for number, connection in enumerate(connections):
            assert connection.recv(100) == b"%d" % number
        for connection in connections[::2]:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for connection in connections:
            connection.close()

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            await inside_thread(ask)
            relay = await one_relay(s)
            deadline = time.monotonic() + 10
            while len(os.listdir(f"/proc/{relay}/fd")) > 10 and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            assert len(os.listdir(f"/proc/{relay}/fd")) <= 10

    run(test())
    server.close()


# ---- UDP ----


class Datagrams:
    """A UDP server in the container that answers with what it was sent."""

    def __init__(self, namespace: int, port: int, address: str = INSIDE4) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = netns.run_inside(namespace, lambda: socket.socket(family, socket.SOCK_DGRAM))
        self.socket.bind((address, port))
        self.socket.settimeout(0.1)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends.is_set():
            with contextlib.suppress(OSError):
                data, peer = self.socket.recvfrom(65536)
                self.socket.sendto(b"re: " + data, peer)

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self.socket.close()


def ask_udp(address: str, port: int, data: bytes, source: str = "") -> bytes:
    """By a connected socket: an answer from another address than the one that was asked is not taken."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        if source:
            asking.bind((source, 0))
        asking.connect((address, port))
        asking.send(data)
        return asking.recv(65536)


def test_udp_answers_come_from_where_they_were_asked(program: str, inside: int, tmp_path: Any) -> None:
    server = Datagrams(inside, 53)

    async def test() -> None:
        async with published(program, str(tmp_path), [udp(5353)]):
            for address in ("127.0.0.1", "127.0.0.9", "::1", HERE4, HERE6):
                assert await inside_thread(lambda a=address: ask_udp(a, 5353, b"who")) == b"re: who"
            large = bytes(60000)
            assert await inside_thread(lambda: ask_udp("::1", 5353, large)) == b"re: " + large
            assert await inside_thread(lambda: ask_udp("::1", 5353, b"")) == b"re: "

    run(test())
    server.close()


def _link_local(link: str) -> str:
    """Once the kernel has made sure that nobody else has it."""
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        found = [one for item in ip("-6", "address", "show", "dev", link) for one in item["addr_info"]]
        for one in found:
            if one.get("scope") == "link" and not one.get("tentative"):
                return str(one["local"])
        time.sleep(0.05)
    pytest.fail(f"no link-local address: {found}")


def test_udp_to_many_and_to_an_address_of_the_link_is_answered(program: str, inside: int, tmp_path: Any) -> None:
    """Broadcast, multicast and link-local addresses: the answer comes from one that the host has."""
    server = Datagrams(inside, 53)
    link = _link_local("pub0")
    number = socket.if_nametoindex("pub0")

    def ask(address: str) -> tuple[bytes, str]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            where = (address, 5353, 0, number) if family == socket.AF_INET6 else (address, 5353)
            asking.sendto(b"who", where)
            data, peer = asking.recvfrom(100)
            return data, str(peer[0]).partition("%")[0]

    async def test() -> None:
        async with published(program, str(tmp_path), [udp(5353)]):
            assert await inside_thread(lambda: ask(link)) == (b"re: who", link)
            assert await inside_thread(lambda: ask("127.255.255.255")) == (b"re: who", "127.0.0.1")
            assert (await inside_thread(lambda: ask("ff02::1")))[0] == b"re: who"

    run(test())
    server.close()


def test_udp_peers_are_bounded(program: str, inside: int, tmp_path: Any) -> None:
    """More peers than there are places: the oldest goes, each gets its own answer."""
    server = Datagrams(inside, 53)

    def ask() -> None:
        for number in range(2500):
            assert ask_udp("::1", 5353, b"%d" % number) == b"re: %d" % number

    async def test() -> None:
        async with published(program, str(tmp_path), [udp(5353)]) as (s, _):
            await inside_thread(ask)
            relay = await one_relay(s)
            assert len(os.listdir(f"/proc/{relay}/fd")) <= 1024 + 10

    run(test())
    server.close()


def test_udp_peers_that_are_silent_are_forgotten(inside: int, tmp_path: Any) -> None:
    needs.program("gcc")
    impatient = compile_c("supervised.c", str(tmp_path / "impatient"), (*SANITIZE, "-DRELAY_SILENT_MS=300"))
    server = Datagrams(inside, 53)

    async def test() -> None:
        async with published(impatient, str(tmp_path), [udp(5353)]) as (s, _):
            for _ in range(2):
                for _ in range(50):
                    await inside_thread(lambda: ask_udp("::1", 5353, b"x"))
                relay = await one_relay(s)
                most = len(os.listdir(f"/proc/{relay}/fd"))
                await asyncio.sleep(0.8)
                assert len(os.listdir(f"/proc/{relay}/fd")) <= 10 < most
            deadline = time.monotonic() + 8
            while relays(s) and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            assert relays(s) == []

    run(test())
    server.close()


def test_udp_to_a_closed_port_is_lost_and_no_more(program: str, inside: int, tmp_path: Any) -> None:
    async def test() -> None:
        async with published(program, str(tmp_path), [udp(5353)]) as (s, _):
            with pytest.raises(TimeoutError):
                await inside_thread(lambda: _ask_briefly(5353))
            server = Datagrams(inside, 53)
            assert await inside_thread(lambda: ask_udp("::1", 5353, b"now")) == b"re: now"
            assert len(relays(s)) == 1
            server.close()

    def _ask_briefly(port: int) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.3)
            asking.sendto(b"x", ("::1", port))
            asking.recv(10)

    run(test())


# ---- the supervisor ----


def test_no_relay_until_it_is_needed_and_none_when_it_is_not(program: str, inside: int, tmp_path: Any) -> None:
    server = Server(inside, 80, echo)

    def ask() -> bytes:
        with connect("::1", 8080) as connection:
            connection.sendall(b"x")
            return connection.recv(1)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            assert relays(s) == []
            for _ in range(2):
                assert await inside_thread(ask) == b"x"
                relay = await one_relay(s)
                deadline = time.monotonic() + 8
                while relays(s) and time.monotonic() < deadline:
                    await asyncio.sleep(0.1)
                assert relays(s) == [] and not os.path.exists(f"/proc/{relay}")

    run(test())
    server.close()


def test_a_relay_that_is_killed_is_followed_by_another(program: str, inside: int, tmp_path: Any) -> None:
    server = Server(inside, 80, echo)

    def ask() -> bytes:
        with connect("::1", 8080) as connection:
            connection.sendall(b"x")
            return connection.recv(1)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            await inside_thread(ask)
            relay = await one_relay(s)
            os.kill(relay, signal.SIGKILL)
            assert await inside_thread(ask) == b"x"
            assert relays(s) != [relay]

    run(test())
    server.close()


def test_the_relay_has_no_rights_and_nothing_of_the_supervisors(program: str, inside: int, tmp_path: Any) -> None:
    server = Server(inside, 80, echo)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            connection = await inside_thread(lambda: connect("::1", 8080))
            relay = await one_relay(s)
            await asyncio.sleep(0.2)
            status = procfs.status(relay)
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0 and status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"
            assert status["Uid"].split() == status["Gid"].split() == ["65534"] * 4 and not status["Groups"].split()
            assert procfs.read(f"/proc/{relay}/oom_score_adj").strip() == "0"
            kinds = [os.readlink(f"/proc/{relay}/fd/{fd}") for fd in os.listdir(f"/proc/{relay}/fd") if int(fd) > 2]
            assert sorted(re.sub(r"\[\d+\]", "", kind) for kind in kinds) == [
                *["anon_inode:[eventpoll]"] * 2, *["socket:"] * 5
            ]  # two ports, the leash, one connection  # fmt: skip
            connection.close()

    run(test())
    server.close()


@pytest.mark.parametrize(
    ("what", "status"),
    [("inet", 0), ("memory", 0)]
    + [(call, -signal.SIGSYS) for call in ("unix", "netlink", "code", "open", "kill", "fork", "exec")],
)
def test_a_call_that_is_not_the_relays_ends_it(tmp_path: Any, what: str, status: int) -> None:
    program = str(tmp_path / "filtered")
    sources = [f"{REPOSITORY}/{path}" for path in ("tests/launcher/filtered.c", "launcher/relay_filter.c")]
    subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-o", program, *sources], check=True)
    assert subprocess.run([program, what]).returncode == status


def test_ports_are_free_when_the_end_is_told_and_last_words_arrive(program: str, inside: int, tmp_path: Any) -> None:
    """A client that reads slowly has the whole answer that the container left behind; its port is free at once."""
    data = random.Random(2).randbytes(3 << 20)
    server = Server(inside, 80, lambda client: client.sendall(data))

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            connection = await inside_thread(lambda: connect("::1", 8080))
            assert await inside_thread(lambda: connection.recv(1)) == data[:1]
            os.kill(s.pid, signal.SIGKILL)
            await s.exit()
            again = PortBook().book([tcp(8080)], TARGET4)
            ports.close_ports(again)
            rest = await inside_thread(lambda: read_all(connection))
            assert data[1:] == rest
            connection.close()

    run(test())
    server.close()


def test_unpublish_lets_one_port_go_and_keeps_connections(program: str, inside: int, tmp_path: Any) -> None:
    server = Server(inside, 80, echo)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080), tcp(8081)]) as (s, held):
            connection = await inside_thread(lambda: connect("::1", 8080))
            await inside_thread(lambda: connection.sendall(b"a"))
            assert await inside_thread(lambda: connection.recv(1)) == b"a"
            keys = [key for key, port in enumerate(held) if port.host_port == 8080]
            for key in keys:
                await s.client.unpublish(key)
            with pytest.raises(ConnectionRefusedError):
                await inside_thread(lambda: connect("::1", 8080))
            await inside_thread(lambda: connection.sendall(b"b"))
            assert await inside_thread(lambda: connection.recv(1)) == b"b"
            other = await inside_thread(lambda: connect("::1", 8081))
            await inside_thread(lambda: other.sendall(b"c"))
            assert await inside_thread(lambda: other.recv(1)) == b"c"
            assert len(relays(s)) == 2
            with pytest.raises(WardianError) as raised:
                await s.client.unpublish(keys[0])
            assert raised.value.errno == errno.ENOENT
            await s.client.unpublish()
            ports.close_ports(PortBook().book([tcp(8080), tcp(8081)], TARGET4))
            connection.close()
            other.close()

    run(test())
    server.close()


def test_a_held_port_is_led_elsewhere(program: str, inside: int, tmp_path: Any) -> None:
    one = Server(inside, 80, lambda client: client.sendall(b"one"))
    two = Server(inside, 81, lambda client: client.sendall(b"two"))

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, held):
            assert await inside_thread(lambda: read_all(connect("::1", 8080))) == b"one"
            await s.client.publish([Publication(key, -1, INSIDE4, 81) for key in range(len(held))])
            assert await inside_thread(lambda: read_all(connect("::1", 8080))) == b"two"

    run(test())
    one.close()
    two.close()


def test_relays_of_many_changes_are_bounded(program: str, inside: int, tmp_path: Any) -> None:
    """Each change leaves the connections to the relay that has them, and only so many are left."""
    servers = [Server(inside, port, echo) for port in (80, 81)]

    def ask(connection: socket.socket) -> bytes:
        connection.sendall(b"x")
        return connection.recv(1)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, held):
            connections = []
            for number in range(12):
                connections.append(await inside_thread(lambda: connect("::1", 8080)))
                assert await inside_thread(lambda: ask(connections[-1])) == b"x"
                await s.client.publish(
                    [Publication(key, -1, INSIDE4, 80 + (number + 1) % 2) for key in range(len(held))]
                )
            assert len(relays(s)) == 8
            for connection in connections[-8:]:
                assert await inside_thread(lambda c=connection: ask(c)) == b"x"
            with pytest.raises((ConnectionResetError, BrokenPipeError, AssertionError)):
                assert await inside_thread(lambda: ask(connections[0]))
            for connection in connections:
                connection.close()

    run(test())
    for server in servers:
        server.close()


def test_connections_past_the_limit_are_lost_and_nothing_spins(program: str, inside: int, tmp_path: Any) -> None:
    """An attacker takes all of the relay's descriptors: no more is lost than new connections while that lasts."""
    server = Server(inside, 80, echo)

    def ask(connection: socket.socket) -> bytes:
        connection.sendall(b"x")
        return connection.recv(1)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (60, 60))
            greedy = await inside_thread(lambda: as_many_as_go(lambda: connect("::1", 8080), 200))
            assert await inside_thread(lambda: ask(greedy[0])) == b"x"
            relay = await one_relay(s)
            before = _cpu_ticks(relay) + _cpu_ticks(s.process.pid)
            await asyncio.sleep(1)
            assert _cpu_ticks(relay) + _cpu_ticks(s.process.pid) - before <= 10
            assert await inside_thread(lambda: ask(greedy[1])) == b"x"
            for connection in greedy:
                connection.close()
            await asyncio.sleep(0.5)  # then their places are given back
            with await inside_thread(lambda: connect("::1", 8080)) as connection:
                assert await inside_thread(lambda: ask(connection)) == b"x"
            assert (await s.client.status()).pid == s.pid

    run(test())
    server.close()


def test_one_source_does_not_take_every_place(program: str, inside: int, tmp_path: Any) -> None:
    """Of an address that holds all it can get some are refused; another still finds room."""
    server = Server(inside, 80, echo)

    def connected(source: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", 8080), 5, (source, 0))

    def ask(connection: socket.socket) -> bytes:
        connection.sendall(b"x")
        return connection.recv(1)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (60, 60))
            greedy = await inside_thread(lambda: as_many_as_go(lambda: connected("127.0.0.1"), 60))
            assert 5 < len(greedy) < 30  # or so: each of them has two of the descriptors
            for source in ("127.0.0.2", "127.0.0.3"):
                with await inside_thread(lambda a=source: connected(a)) as other:
                    assert await inside_thread(lambda c=other: ask(c)) == b"x"
            assert await inside_thread(lambda: ask(greedy[0])) == b"x"
            for connection in greedy:
                connection.close()
            await asyncio.sleep(0.5)  # then its places are given back
            assert len(await inside_thread(lambda: as_many_as_go(lambda: connected("127.0.0.1"), 5))) == 5

    run(test())
    server.close()


def test_what_many_do_not_take_is_bounded(inside: int, tmp_path: Any) -> None:
    """Clients that read nothing: past the bound, here 1 MiB, the relay keeps a little for each, not a whole buffer."""
    needs.program("gcc")
    frugal = compile_c("supervised.c", str(tmp_path / "frugal"), ("-O2", "-static", "-DRELAY_MAX_KEPT=(1<<20)"))

    def pour(client: socket.socket) -> None:
        while True:
            client.sendall(bytes(65536))

    server = Server(inside, 80, pour)

    async def test() -> None:
        async with published(frugal, str(tmp_path), [tcp(8080)]) as (s, _):
            slow = [await inside_thread(lambda: connect("::1", 8080)) for _ in range(80)]
            await asyncio.sleep(1)
            assert _private_kilobytes(await one_relay(s)) < 2048
            for connection in slow:
                connection.close()

    run(test())
    server.close()


def test_a_connection_that_cannot_be_watched_is_reset(inside: int, tmp_path: Any) -> None:
    needs.program("gcc")
    wrapped = ("-Wl,--wrap=epoll_ctl", f"{REPOSITORY}/tests/launcher/full_epoll.c")
    full = compile_c("supervised.c", str(tmp_path / "full"), link=wrapped)
    server = Server(inside, 80, echo)

    async def test() -> None:
        async with published(full, str(tmp_path), [tcp(8080)]):
            assert await inside_thread(lambda: as_many_as_go(lambda: connect("::1", 8080, 3), 1)) == []

    run(test())
    server.close()


def test_a_relay_that_cannot_be_watched_is_begun_later(
    inside: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection waits in the port's queue meanwhile."""
    needs.program("gcc")
    wrapped = ("-Wl,--wrap=epoll_ctl", f"{REPOSITORY}/tests/launcher/full_epoll_later.c")
    full = compile_c("supervised.c", str(tmp_path / "full"), link=wrapped)
    no_more = tmp_path / "no more"
    monkeypatch.setenv("FULL_EPOLL", str(no_more))
    server = Server(inside, 80, echo)

    async def test() -> None:
        async with published(full, str(tmp_path), [tcp(8080)]) as (s, _):
            no_more.touch()
            connection = await inside_thread(lambda: connect("::1", 8080))
            connection.sendall(b"late")
            await asyncio.sleep(0.5)  # it is tried in vain some times
            assert (await s.client.status()).pid == s.pid
            no_more.unlink()
            assert await inside_thread(lambda: connection.recv(10)) == b"late"
            connection.close()

    run(test())
    server.close()


def test_the_supervisors_death_ends_the_relay_and_frees_the_port(program: str, inside: int, tmp_path: Any) -> None:
    server = Server(inside, 80, echo)

    async def test() -> None:
        with pytest.raises((WardianError, AssertionError)):
            async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
                connection = await inside_thread(lambda: connect("::1", 8080))
                relay = await one_relay(s)
                os.kill(s.process.pid, signal.SIGKILL)
                await s.process.wait()
                deadline = time.monotonic() + 5
                while os.path.exists(f"/proc/{relay}") and time.monotonic() < deadline:
                    await asyncio.sleep(0.01)
                assert procfs.read(f"/proc/{relay}/cmdline") == ""
                ports.close_ports(PortBook().book([tcp(8080)], TARGET4))
                connection.close()
                os.kill(s.pid, signal.SIGKILL)

    run(test())
    server.close()


def test_held_ports_cost_little(tmp_path: Any, inside: int) -> None:
    """A hundred ports, without sanitizers: the supervisor's own memory stays below a megabyte."""
    needs.program("gcc")
    plain = compile_c("supervised.c", str(tmp_path / "plain"), ("-O2", "-static"))

    async def test() -> None:
        async with published(plain, str(tmp_path), [tcp(9000 + i, 80) for i in range(100)]) as (s, held):
            assert len(held) == 200
            assert _private_kilobytes(s.process.pid) < 1024

    run(test())


def _private_kilobytes(pid: int) -> int:
    rows = procfs.read(f"/proc/{pid}/smaps_rollup").splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith(("Private_Clean", "Private_Dirty")))


def test_a_thousand_ports_in_one_go(program: str, inside: int, tmp_path: Any) -> None:
    server = Server(inside, 80, echo)

    def ask(port: int) -> bytes:
        with connect("::1", port) as connection:
            connection.sendall(b"x")
            return connection.recv(1)

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(10000 + i, 80) for i in range(1000)]) as (s, held):
            assert len(held) == 2000
            assert await inside_thread(lambda: ask(10000)) == await inside_thread(lambda: ask(10999)) == b"x"
            await s.client.unpublish()
            ports.close_ports(PortBook().book([tcp(10500)], TARGET))

    run(test())
    server.close()


@pytest.mark.parametrize("addresses", [("", ""), ("127.0.0.1", ""), ("", "127.0.0.1")])
def test_a_port_that_one_container_asks_for_twice(addresses: tuple[str, str]) -> None:
    wants = [PortWant(80 + i, "tcp", address, 18997, 18997) for i, address in enumerate(addresses)]
    with pytest.raises(WardianError, match=":18997 failed: port is already allocated") as raised:
        PortBook().book(wants, TARGET4)
    assert raised.value.hint == "the container asks for port 18997 twice"


# ---- the real launcher ----


def test_ports_travel_with_the_launch_and_outlive_the_engine(inside: int, tmp_path: Any) -> None:
    """More than the launch socket takes at once, held when `launch` returns or soon; another engine lets go of them."""
    server = Server(inside, 80, echo)
    many = [tcp(10000 + i, 80) for i in range(1000)]

    async def test() -> None:
        held = PortBook().book(many, TARGET4)
        publishing = ports.publications(held, TARGET4)
        run_dir = str(tmp_path)
        started = await launch(launched.plan(run_dir, "exec sleep 600"), {}, (), run_dir, publishing=publishing)
        ports.close_ports(held)
        started.supervisor.close()
        for port in (10000, 10999):
            connection = await inside_thread(lambda p=port: connect("::1", p))
            await inside_thread(lambda c=connection: c.sendall(b"x"))
            assert await inside_thread(lambda c=connection: c.recv(1)) == b"x"
            connection.close()
        client = await SupervisorClient.connect(run_dir)
        await client.unpublish(0)
        await client.unpublish(1)
        ports.close_ports(PortBook().book(many[:1], TARGET4))
        with pytest.raises(WardianError, match="10001 failed: port is already allocated"):
            PortBook().book(many[1:2], TARGET4)
        os.kill(started.pid, signal.SIGKILL)
        await client.wait_exit()
        ports.close_ports(PortBook().book(many, TARGET4))
        client.close()

    launched.run(test())
    server.close()


@pytest.mark.parametrize("command", ["exit 3", "no such step"])
def test_ports_of_what_does_not_run_are_free(inside: int, tmp_path: Any, command: str) -> None:
    async def test() -> None:
        held = PortBook().book([tcp(10000 + i, 80) for i in range(1000)], TARGET4)
        publishing, run_dir = ports.publications(held, TARGET4), str(tmp_path)
        plan = launched.plan(run_dir, command)
        if command == "exit 3":
            started = await launch(plan, {}, (), run_dir, publishing=publishing)
            assert (await started.supervisor.wait_exit()).exit_code == 3
            started.supervisor.close()
        else:
            with pytest.raises(LaunchError):
                await launch(plan, {}, (), run_dir, publishing=publishing, fail_step=len(plan.ops) - 1)
        ports.close_ports(held)
        ports.close_ports(PortBook().book([tcp(10000 + i, 80) for i in range(1000)], TARGET4))

    launched.run(test())


# ---- booking ----


def test_a_port_in_use_names_who_has_it(inside: int) -> None:
    taken = socket.create_server(("127.0.0.1", 8080))
    try:
        with pytest.raises(WardianError) as raised:
            PortBook().book([tcp(8080)], TARGET4)
        assert raised.value.kind == SYSTEM and raised.value.errno == errno.EADDRINUSE
        assert f"process {os.getpid()} (" in raised.value.hint
        assert raised.value.subject == "0.0.0.0:8080"
    finally:
        taken.close()


def test_a_published_port_names_its_container(program: str, inside: int, tmp_path: Any) -> None:
    identity = "c0ffee" + "0" * 58
    directory = tmp_path / "containers" / identity
    directory.mkdir(parents=True)

    async def test() -> None:
        async with published(program, str(directory), [tcp(8080), udp(8080)]) as (s, _):
            for want in (tcp(8080), udp(8080)):
                owner = owner_of(want.protocol, "0.0.0.0", 8080)
                assert owner is not None and owner.pid == s.process.pid

    run(test())


def test_what_is_booked_is_booked_for_both_families_or_not_at_all(inside: int) -> None:
    six = socket.create_server(("::", 8080), family=socket.AF_INET6)
    try:
        with pytest.raises(WardianError, match="8080"):
            PortBook().book([tcp(8079), tcp(8080)], TARGET4)
        ports.close_ports(PortBook().book([tcp(8079), tcp(8080, address="127.0.0.1")], TARGET4))
    finally:
        six.close()


def test_a_range_and_random_ports_go_round_what_is_taken(inside: int) -> None:
    taken = socket.create_server(("::1", 8081), family=socket.AF_INET6)
    book = PortBook()
    held: list[HeldPort] = list(book.book([tcp(8080)], TARGET4))
    try:
        held += book.book([PortWant(80, "tcp", "", 8080, 8083)], TARGET4)
        assert {port.host_port for port in held[2:]} == {8082}
        first = book.book([PortWant(80, "tcp"), PortWant(80, "udp")], TARGET4)
        held += first
        low = int(procfs.read("/proc/sys/net/ipv4/ip_local_port_range").split()[0])
        assert {port.host_port for port in first} == {low}
        held += (second := book.book([PortWant(80, "tcp")], TARGET4))
        assert {port.host_port for port in second} == {low + 1}
    finally:
        taken.close()
        ports.close_ports(held)


def test_a_host_without_ipv6_publishes_ipv4_alone(inside: int) -> None:
    netns.write_sysctl("ipv6/conf/all/disable_ipv6", "1")
    held = PortBook().book([tcp(8080)], TARGET)
    assert [port.host_ip for port in held] == ["0.0.0.0"]
    ports.close_ports(held)


def test_a_networks_own_host_address_is_for_wishes_without_one(inside: int) -> None:
    held = PortBook().book([tcp(8080), tcp(8081, address="0.0.0.0")], TARGET, "127.0.0.1")
    assert [port.host_ip for port in held] == ["127.0.0.1", "0.0.0.0"]
    ports.close_ports(held)


def test_what_is_routed_takes_no_port_of_the_host(inside: int) -> None:
    book, target = PortBook(), TARGET._replace(routed=frozenset({4}))
    held = book.book([tcp(8080), tcp(8081), tcp(8082, address="127.0.0.1")], target)
    numbers = [(port.host_ip, port.host_port) for port in held]
    assert numbers == [("0.0.0.0", 0), ("::", 8080), ("::", 8081)]
    assert [one.key for one in ports.publications(held, target)] == [1, 2]
    ports.close_ports(held)
    assert not any(one.fd >= 0 for one in book.book([tcp(8080)], target._replace(routed=frozenset({4, 6}))))


def test_an_address_that_the_host_has_not(inside: int) -> None:
    with pytest.raises(WardianError, match="cannot assign requested address"):
        PortBook().book([tcp(8080, address="192.0.2.1")], TARGET4)


def test_only_what_can_be_held_is(program: str, inside: int, tmp_path: Any) -> None:
    """No file, no unix socket, none that does not listen; and of a message all or nothing."""

    async def test() -> None:
        async with published(program, str(tmp_path), [tcp(8080)]) as (s, _):
            (good,) = PortBook().book([tcp(8081, address="127.0.0.1")], TARGET4)
            one, other = socket.socketpair()
            with one, other, socket.socket() as idle, open("/dev/null") as file:
                for bad in (file, one, idle):
                    both = [Publication(5, good.fd, INSIDE4, 80), Publication(6, bad.fileno(), INSIDE4, 80)]
                    with pytest.raises(WardianError) as raised:
                        await s.client.publish(both)
                    assert raised.value.errno == errno.EINVAL
            os.close(good.fd)
            ports.close_ports(PortBook().book([tcp(8081, address="127.0.0.1")], TARGET4))
            with pytest.raises(WardianError):
                await s.client.unpublish(5)
            assert relays(s) == []

    run(test())


def test_publishing_after_the_end_is_refused(program: str, inside: int, tmp_path: Any) -> None:
    async def test() -> None:
        async with supervised(program, str(tmp_path), ["/bin/true"]) as s:
            await s.exit()
            held = PortBook().book([tcp(8080)], TARGET4)
            with pytest.raises(WardianError) as raised:
                await s.client.publish(ports.publications(held, TARGET4))
            assert raised.value.kind == CONFLICT
            ports.close_ports(held)

    run(test())
