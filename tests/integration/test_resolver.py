"""wardian-resolver as a container meets it: names, what is passed on, TCP, and how it lives and is made again."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import dnslib
import pytest

from own_host import nft, own_host
from upstream_dns import ANSWERS, FAILS, LONG, upstream
from wardian.errors import SYSTEM, WardianError
from wardian.home import Home
from wardian.kernel import netns, procfs
from wardian.network import names as names_module
from wardian.network import resolver_process
from wardian.network.names import ADDRESS, Names, ResolverSockets, View, prepare_inside
from wardian.network.resolver import protocol

_T = TypeVar("_T")
SHOP = "a" * 64
STORE = "b" * 64
SHOP_NAMES = {"web": ["172.18.0.2", "172.18.0.3"], "db": ["172.18.0.9"], "six": ["fd00::6"]}


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    with own_host():
        yield


class Box:
    """A container's network namespace: lo, the redirect, and what is asked in it."""

    def __init__(self, prepare: Callable[[], ResolverSockets] = prepare_inside) -> None:
        self.netns, self.sockets = netns.create(prepare)

    def close(self) -> None:
        os.close(self.netns)

    def inside(self, work: Callable[[], _T]) -> _T:
        return netns.run_inside(self.netns, work)

    def ask(self, name: str, kind: str = "A", tcp: bool = False, timeout: float = 8.0, **edns: int) -> dnslib.DNSRecord:
        question = dnslib.DNSRecord.question(name, kind)
        if edns:
            question.add_ar(dnslib.EDNS0(**edns))
        return dnslib.DNSRecord.parse(self.exchange(bytes(question.pack()), tcp, timeout))

    def exchange(self, packet: bytes, tcp: bool = False, timeout: float = 8.0) -> bytes:
        return self.inside(lambda: _stream(packet, timeout) if tcp else _datagram(packet, timeout))

    def addresses(self, name: str, kind: str = "A", timeout: float = 8.0) -> list[str]:
        return [str(record.rdata) for record in self.ask(name, kind, timeout=timeout).rr]

    def code(self, name: str, kind: str = "A", **more: Any) -> str:
        return str(dnslib.RCODE[self.ask(name, kind, **more).header.rcode])


def _datagram(packet: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((ADDRESS, 53))  # connected: an answer from another port or address would not be received
        client.send(packet)
        return client.recv(65535)


def _stream(packet: bytes, timeout: float) -> bytes:
    with socket.create_connection((ADDRESS, 53), timeout=timeout) as client:
        client.sendall(struct.pack("!H", len(packet)) + packet)
        return _message(client)


def _message(client: socket.socket) -> bytes:
    head = client.recv(2, socket.MSG_WAITALL)
    if len(head) < 2:
        raise ConnectionResetError("closed")
    return client.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)


class Engine:
    """An engine's part in it: names, boxes, and a loop."""

    def __init__(self, home: Home) -> None:
        os.makedirs(home.run_root, exist_ok=True)
        self.home = home
        self.boxes: dict[str, Box] = {}
        self.loop = asyncio.new_event_loop()
        self.names = self.new_names()

    def new_names(self) -> Names:
        return Names(self.home, self._namespace)

    def _namespace(self, sandbox: str) -> int:
        if sandbox not in self.boxes:
            raise ProcessLookupError(3, "gone", sandbox)
        return os.dup(self.boxes[sandbox].netns)

    def run(self, work: Coroutine[Any, Any, _T] | Awaitable[_T]) -> _T:
        async def bounded() -> _T:
            return await asyncio.wait_for(work, 30)

        return self.loop.run_until_complete(bounded())

    def box(self, sandbox: str, view: View) -> Box:
        box = self.boxes[sandbox] = Box()
        self.run(self.names.register(sandbox, box.sockets, view))
        return box

    def remove(self, sandbox: str) -> None:
        self.boxes.pop(sandbox).close()
        self.run(self.names.forget(sandbox))

    @property
    def pid(self) -> int:
        """Of the resolver, by its command line."""
        found = _resolvers(self.home)
        assert len(found) == 1, found
        return found[0]

    def close(self) -> None:
        self.run(self.names.stop(purge=True))
        for box in self.boxes.values():
            box.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        _until(lambda: not _resolvers(self.home))


def _resolvers(home: Home) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        text = procfs.read(f"/proc/{name}/cmdline") if name.isdigit() else ""
        if "resolver" in text and f"{home.run_root}/resolver" in text:
            found.append(int(name))
    return found


def _until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.02)


@pytest.fixture
def engine(home: Home) -> Iterator[Engine]:
    engine = Engine(home)
    engine.run(engine.names.start())
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture
def shop(engine: Engine) -> Box:
    """A box on the network SHOP that may ask nobody else."""
    addresses = {"172.18.0.2": "web.shop", "172.18.0.9": "db.shop", "fd00::6": "six.shop"}
    engine.names.publish(SHOP, SHOP_NAMES, addresses, "shop")
    return engine.box("one", View((SHOP,), internal=True))


# ---- names ----


def test_names_addresses_and_reverse(shop: Box) -> None:
    assert shop.addresses("db") == shop.addresses("DB.Shop") == ["172.18.0.9"]
    assert sorted(shop.addresses("web")) == ["172.18.0.2", "172.18.0.3"]
    assert shop.addresses("six", "AAAA") == ["fd00::6"]
    assert shop.addresses("9.0.18.172.in-addr.arpa", "PTR") == ["db.shop."]
    assert shop.addresses("six.shop", "ANY") == ["fd00::6"]


def test_a_known_name_without_that_family_is_no_error(shop: Box) -> None:
    """musl and others take NXDOMAIN for AAAA as the end of the name."""
    for name, kind in (("db", "AAAA"), ("six", "A"), ("web", "MX"), ("web", "HTTPS"), ("web", "TXT")):
        assert (shop.code(name, kind), shop.addresses(name, kind)) == ("NOERROR", [])


def test_services_go_round(shop: Box) -> None:
    firsts = [shop.addresses("web")[0] for _ in range(10)]
    assert firsts.count("172.18.0.2") == firsts.count("172.18.0.3") == 5


def test_by_tcp_and_several_questions_in_one_connection(shop: Box) -> None:
    assert [str(record.rdata) for record in shop.ask("db", tcp=True).rr] == ["172.18.0.9"]
    packets = [bytes(dnslib.DNSRecord.question("db").pack()) for _ in range(50)]

    def many() -> set[int]:
        with socket.create_connection((ADDRESS, 53), timeout=5) as client:
            client.sendall(b"".join(struct.pack("!H", len(packet)) + packet for packet in packets))
            client.shutdown(socket.SHUT_WR)
            return {dnslib.DNSRecord.parse(_message(client)).header.id for _ in packets}

    assert shop.inside(many) == {dnslib.DNSRecord.parse(packet).header.id for packet in packets}


def test_libc_resolves(shop: Box, tmp_path: Any) -> None:
    """A real stub resolver (glibc's, in a mount namespace with a resolv.conf of ours), by name and by address."""
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver {ADDRESS}\noptions ndots:0\n")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    script = f"mount --bind {conf} /etc/resolv.conf && mount --bind {hosts} /etc/hosts && getent hosts db && getent hosts 172.18.0.9"  # noqa: E501

    def getent() -> str:
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=20)
        return done.stdout + done.stderr

    said = shop.inside(getent)
    assert "172.18.0.9" in said and "db.shop" in said, said


def test_published_names_are_answered_at_once(engine: Engine, shop: Box) -> None:
    for number in range(2, 100):
        engine.names.publish(SHOP, {"db": [f"172.18.0.{number}"]}, {})
        assert shop.addresses("db") == [f"172.18.0.{number}"]
    engine.names.withdraw(SHOP)
    assert shop.code("db") == "SERVFAIL"


def test_networks_are_looked_up_in_order_and_apart(engine: Engine, shop: Box) -> None:
    engine.names.publish(STORE, {"db": ["172.19.0.9"], "only": ["172.19.0.5"]}, {})
    both = engine.box("two", View((STORE, SHOP), internal=True))
    assert both.addresses("db") == ["172.19.0.9"]
    assert both.addresses("only") == ["172.19.0.5"]
    assert sorted(both.addresses("web")) == ["172.18.0.2", "172.18.0.3"]
    assert shop.code("only") == "SERVFAIL"  # what is on a network is nobody else's to know
    engine.run(engine.names.update("one", View((SHOP, STORE), internal=True)))
    assert shop.addresses("only") == ["172.19.0.5"]
    assert shop.addresses("db") == ["172.18.0.9"]
    engine.run(engine.names.update("one", View((SHOP,), internal=True)))
    assert shop.code("only") == "SERVFAIL"


# ---- in the namespace ----


def test_port_53_stays_free(shop: Box) -> None:
    """A name server in the container binds it on all addresses, and is asked at its own."""

    def serve() -> tuple[bytes, list[str]]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.create_server(("0.0.0.0", 53)):
            server.bind(("0.0.0.0", 53))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"for the container's own", ("127.0.0.1", 53))
                said = server.recv(100)
            told = dnslib.DNSRecord.parse(_datagram(bytes(dnslib.DNSRecord.question("db").pack()), 5))
            return said, [str(record.rdata) for record in told.rr]

    assert shop.inside(serve) == (b"for the container's own", ["172.18.0.9"])


def test_the_containers_own_firewall_sees_port_53(shop: Box) -> None:
    """With connection tracking and a drop for all that does not fit; and nothing is tracked without."""

    rules = """table ip own {
        chain own_out {
            type filter hook output priority 0; policy drop
            ct state established accept
            udp dport 53 ct state new accept
            tcp dport 53 ct state new accept
        }
        chain own_in {
            type filter hook input priority 0; policy accept
            ct state invalid drop
        }
    }
    """
    shop.inside(lambda: nft(commands=rules))
    assert shop.addresses("db") == ["172.18.0.9"]
    assert len(shop.ask("db", tcp=True).rr) == 1


def test_a_namespace_that_is_prepared_again_has_one_redirect() -> None:
    box = Box()
    box.sockets.close()
    again = box.inside(prepare_inside)
    listed = box.inside(lambda: nft("list", "ruleset"))
    assert listed.count(f"set {again.port}") == 2 and f"set {box.sockets.port}" not in listed
    again.close()
    box.close()


# ---- passed on ----


def test_unknown_names_are_passed_on(engine: Engine) -> None:
    engine.names.publish(SHOP, SHOP_NAMES, {})
    box = engine.box("one", View((SHOP,), ("127.0.0.1",)))
    with upstream() as server:
        assert box.addresses("example.org") == [ANSWERS["example.org."]]
        assert box.addresses("db") == ["172.18.0.9"]
        assert box.code("nobody.example.org") == "NXDOMAIN"
        assert box.code("example.org", "MX") == "NOERROR"
        assert box.code("1.2.0.192.in-addr.arpa", "PTR") == "NXDOMAIN"
        assert not [one for one in server.asked if one.startswith("db")]
        ids = {packet[:2] for packet in server.packets}
        assert len({port for _, port in server.sources}) == len(server.sources) == len(ids)


def test_extension_and_truncation_pass_through(engine: Engine) -> None:
    box = engine.box("one", View((SHOP,), ("127.0.0.1",)))
    with upstream() as server:
        box.ask("example.org", udp_len=1232, flags="do")
        assert server.packets[-1][10:12] == b"\0\1" and server.packets[-1][-11 + 3 : -11 + 5] == b"\x04\xd0"
        assert box.ask(LONG).header.tc == 1
        whole = box.ask(LONG, tcp=True)
        assert (whole.header.tc, len(whole.rr)) == (0, 200)
        assert server.asked[-1].endswith("tcp")


def test_tcp_falls_back_to_udp(engine: Engine) -> None:
    box = engine.box("one", View((SHOP,), ("127.0.0.1",)))
    with upstream(tcp=False):
        assert [str(record.rdata) for record in box.ask("example.org", tcp=True).rr] == [ANSWERS["example.org."]]


def test_the_next_server_when_one_is_silent_fails_or_is_not_there(engine: Engine) -> None:
    with upstream("127.0.0.2", silent=True) as silent, upstream("127.0.0.4") as good:
        box = engine.box("one", View((SHOP,), ("127.0.0.3", "127.0.0.2", "127.0.0.4")))  # nobody at .3
        begin = time.monotonic()
        assert box.addresses("example.org") == [ANSWERS["example.org."]]
        assert 0.8 < time.monotonic() - begin < 2.5
        assert silent.asked and good.asked
        assert box.code(FAILS) == "SERVFAIL"
    other = engine.box("two", View((SHOP,), ("127.0.0.3", "2001:db8::1", "127.0.0.5")))
    begin = time.monotonic()
    assert other.code("example.org") == "SERVFAIL"  # all are unreachable: said at once
    assert time.monotonic() - begin < 0.5


def test_a_late_answer_of_the_first_is_heard(engine: Engine) -> None:
    box = engine.box("one", View((SHOP,), ("127.0.0.2", "127.0.0.4")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow, upstream("127.0.0.4", silent=True):
        slow.bind(("127.0.0.2", 53))
        slow.settimeout(5)
        asker = asyncio.to_thread(box.code, "example.org")

        async def late() -> str:
            task = asyncio.create_task(asker)
            packet, client = await asyncio.to_thread(slow.recvfrom, 4096)
            await asyncio.sleep(1.5)
            slow.sendto(dnslib.DNSRecord.parse(packet).reply().pack(), client)
            return await task

        assert engine.run(late()) == "NOERROR"


def test_what_is_no_question_ends_a_connection(shop: Box) -> None:
    """An answer sent as a question: answering could go on for ever, and nothing waits for it."""
    reply = bytes(dnslib.DNSRecord.question("db").reply().pack())
    with pytest.raises(ConnectionResetError):
        shop.exchange(reply, tcp=True)
    with pytest.raises(TimeoutError):
        shop.exchange(reply, timeout=0.3)


def test_forged_answers_are_not_taken(engine: Engine) -> None:
    """Another id, another question, or another sender: only the server that was asked is heard."""
    box = engine.box("one", View((SHOP,), ("127.0.0.2",)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.2", 53))
        server.settimeout(5)

        async def forge() -> list[str]:
            task = asyncio.create_task(asyncio.to_thread(box.addresses, "example.org"))
            packet, client = await asyncio.to_thread(server.recvfrom, 4096)
            reply = dnslib.DNSRecord.parse(packet).reply()
            reply.add_answer(dnslib.RR("example.org", rdata=dnslib.A("203.0.113.66")))
            bad = bytes(reply.pack())
            server.sendto(bytes([bad[0] ^ 1]) + bad[1:], client)
            server.sendto(bad.replace(b"example", b"exampel"), client)
            server.sendto(b"\0", client)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
                neighbour.bind(("127.0.0.9", 53))
                neighbour.sendto(bad, client)
            good = dnslib.DNSRecord.parse(packet).reply()
            good.add_answer(dnslib.RR("example.org", rdata=dnslib.A("198.51.100.7")))
            server.sendto(good.pack(), client)
            return await task

        assert engine.run(forge()) == ["198.51.100.7"]


def test_servers_asked_from_inside(engine: Engine) -> None:
    """`--dns`: the server is one that the container reaches, and the host may not."""
    box = engine.box("one", View((SHOP,), ("127.0.0.1", ADDRESS), inside=True))
    with upstream() as outside:
        running = box.inside(lambda: upstream())

        def serve() -> tuple[list[str], list[str]]:
            with running as inside:
                first = _datagram(bytes(dnslib.DNSRecord.question("example.org").pack()), 5)
                _stream(bytes(dnslib.DNSRecord.question("example.org").pack()), 5)
                return [str(record.rdata) for record in dnslib.DNSRecord.parse(first).rr], inside.asked

        assert box.inside(serve) == ([ANSWERS["example.org."]], ["example.org. A udp", "example.org. A tcp"])
        assert not outside.asked
        other = engine.box("two", View((SHOP,), ("127.0.0.1",)))  # and the process came back to the host's
        assert other.addresses("example.org") == [ANSWERS["example.org."]]
        assert outside.asked


def test_the_container_that_names_itself_does_not_turn_in_a_circle(engine: Engine) -> None:
    box = engine.box("one", View((SHOP,), (ADDRESS,), inside=True))
    assert box.code("example.org") == "SERVFAIL"


def test_internal_asks_nobody(engine: Engine) -> None:
    """CVE-2024-29018: no packet leaves, neither from the host nor from the sandbox, for no kind of question."""
    engine.names.publish(SHOP, SHOP_NAMES, {})
    with upstream() as outside:
        box = engine.box("one", View((SHOP,), ("127.0.0.1",), internal=True, search=("corp.example",)))
        for name in ("example.org", "secret.data.attacker.example", "web.example.org", "corp.example"):
            for kind in ("A", "AAAA", "PTR", "TXT", "ANY", "NS"):
                for tcp in (False, True):
                    assert box.code(name, kind, tcp=tcp) == "SERVFAIL"
        chaos = dnslib.DNSRecord(q=dnslib.DNSQuestion("version.bind", dnslib.QTYPE.TXT, dnslib.CLASS.CH))
        assert dnslib.DNSRecord.parse(box.exchange(bytes(chaos.pack()))).header.rcode == dnslib.RCODE.SERVFAIL
        assert box.addresses("db.corp.example") == ["172.18.0.9"]  # musl asks so first, and ends at a failure
        assert not outside.asked


def test_search_domains_hide_no_name_of_others(engine: Engine) -> None:
    engine.names.publish(SHOP, {"example": ["172.18.0.9"]}, {})
    box = engine.box("one", View((SHOP,), ("127.0.0.1",), search=("org",)))
    with upstream():
        assert box.addresses("example.org") == [ANSWERS["example.org."]]


def test_the_hosts_servers_by_module_with_the_stub_understood(engine: Engine, tmp_path: Any) -> None:
    """Started by hand as `python -m`: it listens by itself, reads the host's files, and the engine finds it."""
    conf, run = tmp_path / "resolv.conf", tmp_path / "run"
    conf.write_text("nameserver 127.0.0.53\noptions edns0 trust-ad\n")
    os.makedirs(run / "systemd" / "resolve")
    (run / "systemd" / "resolve" / "resolv.conf").write_text("nameserver 127.0.0.2\nnameserver 127.0.0.4\n")
    directory = f"{engine.home.run_root}/resolver"
    script = f"mount --bind {conf} /etc/resolv.conf && mount --bind {run} /run && exec {sys.executable} -m wardian.network.resolver {directory}"  # noqa: E501
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", script])
    try:
        _until(lambda: os.path.exists(f"{directory}/control.sock"))
        box = engine.box("one", View((SHOP,)))
        assert engine.pid == process.pid
        with upstream("127.0.0.2") as real, upstream("127.0.0.53") as stub:
            assert box.addresses("example.org") == [ANSWERS["example.org."]]
            assert real.asked and not stub.asked
        conf.write_text("nameserver 127.0.0.6\n")  # a laptop moves
        with upstream("127.0.0.6") as moved:
            assert box.addresses("example.org") == [ANSWERS["example.org."]]
            assert moved.asked
    finally:
        engine.run(engine.names.stop(purge=True))
        assert process.wait(5) == 0


# ---- nobody is in another's way ----


def test_slow_clients_and_servers_block_nobody(engine: Engine) -> None:
    engine.names.publish(SHOP, SHOP_NAMES, {})
    with upstream("127.0.0.2", silent=True), contextlib.ExitStack() as open_ones:
        bad = engine.box("bad", View((SHOP,), ("127.0.0.2",)))
        good = engine.box("good", View((SHOP,), internal=True))

        def clog() -> None:
            for number in range(100):
                client = open_ones.enter_context(socket.create_connection((ADDRESS, 53), timeout=5))
                with contextlib.suppress(OSError):  # over the bound it is closed
                    client.send(b"\0" if number % 2 else struct.pack("!H", 30) + b"\0" * 10)
            flood = open_ones.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for number in range(2000):
                flood.sendto(bytes(dnslib.DNSRecord.question(f"n{number}.example.org").pack()), (ADDRESS, 53))
                flood.sendto(random.randbytes(100), (ADDRESS, 53))

        bad.inside(clog)
        begin = time.monotonic()
        for _ in range(20):
            assert good.addresses("db") == ["172.18.0.9"]
            assert len(good.ask("db", tcp=True).rr) == 1
        assert time.monotonic() - begin < 2
        assert bad.addresses("db") == ["172.18.0.9"]
        assert len(os.listdir(f"/proc/{engine.pid}/fd")) < 32 + 256 + 20  # both bounds hold
        assert _memory(engine.pid) < 20_000


def test_many_that_ask_slow_servers_leave_the_others_theirs(engine: Engine) -> None:
    """Twenty together could have more under way than all may: each has less the more they are."""
    packets = [bytes(dnslib.DNSRecord.question(f"n{number}.example.org").pack()) for number in range(400)]

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for number, packet in enumerate(packets):
                client.sendto(packet, (ADDRESS, 53))
                if number % 100 == 99:  # what its buffer holds is read
                    time.sleep(0.02)

    with silent_server("127.0.0.2"), upstream("127.0.0.4"):
        good = engine.box("good", View((SHOP,), ("127.0.0.4",)))
        slow = [engine.box(f"slow{number}", View((SHOP,), ("127.0.0.2",))) for number in range(20)]
        for box in slow:
            box.inside(flood)
        assert len(os.listdir(f"/proc/{engine.pid}/fd")) > 2500  # they do have many under way
        assert good.addresses("example.org") == [ANSWERS["example.org."]]
        assert len(os.listdir(f"/proc/{engine.pid}/fd")) > 2500


@contextlib.contextmanager
def silent_server(address: str) -> Iterator[None]:
    """Bound, and never read: what is sent there is not refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((address, 53))
        yield


def test_a_client_that_does_not_read_is_cut_off(engine: Engine) -> None:
    engine.names.publish(SHOP, {"web": [f"10.{number}.0.1" for number in range(250)]}, {})
    box = engine.box("one", View((SHOP,), internal=True))
    packet = bytes(dnslib.DNSRecord.question("web").pack())

    def greedy() -> bool:
        with socket.create_connection((ADDRESS, 53), timeout=5) as client:
            with contextlib.suppress(OSError):
                for _ in range(5000):
                    client.sendall((struct.pack("!H", len(packet)) + packet) * 10)
            try:
                while client.recv(65536):
                    pass
            except OSError:
                return True
            return True

    assert box.inside(greedy)
    assert box.addresses("web")
    assert _memory(engine.pid) < 20_000


def _memory(pid: int) -> int:
    """Resident, in KiB."""
    return int(procfs.status(pid)["VmRSS"].split()[0])


# ---- life ----


def test_small(engine: Engine, shop: Box) -> None:
    shop.addresses("db")
    assert _memory(engine.pid) < 16_000
    maps = procfs.read(f"/proc/{engine.pid}/maps")
    assert "msgspec" not in maps and "_asyncio" not in maps
    assert os.readlink(f"/proc/{engine.pid}/cwd") == "/"
    assert os.getsid(engine.pid) == engine.pid
    assert f"{engine.home.cgroup_base}/supervisors" in procfs.read(f"/proc/{engine.pid}/cgroup")
    groups = [word for word in procfs.read(f"/proc/{engine.pid}/cmdline").split("\0") if "/supervisors/" in word]
    assert len({os.stat(path).st_dev for path in groups}) == len(groups)  # each hierarchy is entered once


def test_it_may_enter_namespaces_and_no_more(engine: Engine, shop: Box) -> None:
    """CAP_NET_ADMIN and CAP_SYS_ADMIN, for questions that are asked from a sandbox; nothing that it starts has more."""
    status = procfs.status(engine.pid)
    assert {int(status[key], 16) for key in ("CapEff", "CapPrm")} == {1 << 12 | 1 << 21}
    assert (int(status["CapInh"], 16), int(status["CapAmb"], 16), status["NoNewPrivs"]) == (0, 0, "1")
    assert status["Uid"].split() == status["Gid"].split() == ["65534"] * 4 and not status["Groups"].split()


def test_nobody_else_reads_the_names(engine: Engine, shop: Box) -> None:
    """The files are open to whoever comes as far, and only the resolver does: it holds the directory."""
    assert shop.addresses("db") == ["172.18.0.9"]
    directory = f"{engine.home.run_root}/resolver"
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    for path in (f"{directory}/networks/{SHOP}.json", f"{directory}/control.sock"):
        refused = subprocess.run(["stat", path], user=65534, group=65534, extra_groups=(), capture_output=True)
        assert refused.returncode, path


def test_many_that_are_on_many_networks_are_found_again(engine: Engine) -> None:
    """What they may know is more than one message holds; the engine knows it."""
    view = View(tuple(f"{number:064x}" for number in range(20)))
    for number in range(protocol.LISTED_AT_ONCE):
        engine.box(f"{number:064x}", view)
    pid = engine.pid
    engine.run(engine.names.stop())
    engine.names = engine.new_names()
    engine.run(engine.names.start(engine.boxes))
    assert engine.pid == pid and len(engine.run(engine.names._registered())) == protocol.LISTED_AT_ONCE


def test_it_outlives_the_engine_and_is_found_again(engine: Engine, shop: Box) -> None:
    pid = engine.pid
    engine.box("two", View((SHOP,), internal=True))
    engine.run(engine.names.stop())
    assert engine.pid == pid
    assert shop.addresses("db") == ["172.18.0.9"]
    engine.names = engine.new_names()
    engine.run(engine.names.start(live={"one"}))
    assert engine.pid == pid
    assert shop.addresses("db") == ["172.18.0.9"]
    with pytest.raises(OSError):  # the one that is gone is forgotten: its sockets are closed
        engine.boxes["two"].ask("db", timeout=1)


def test_lost_it_is_made_again(engine: Engine, shop: Box) -> None:
    """Killed; the engine hears of it, starts another and remakes the sockets on the ports that the redirects name."""
    two = engine.box("two", View((SHOP,), internal=True))
    ports = (shop.sockets.port, two.sockets.port)
    for _ in range(3):
        pid = engine.pid
        os.kill(pid, signal.SIGKILL)
        _eventually(engine, shop, two)
        assert engine.pid != pid
    listed = shop.inside(lambda: nft("list", "ruleset")) + two.inside(lambda: nft("list", "ruleset"))
    assert all(f"set {port}" in listed for port in ports)


def test_lost_while_the_engine_is_down(engine: Engine, shop: Box) -> None:
    engine.run(engine.names.stop())
    os.kill(engine.pid, signal.SIGKILL)
    engine.names = engine.new_names()
    engine.run(engine.names.start(live={"one"}))
    _eventually(engine, shop)


def test_stuck_it_is_ended_and_made_again(engine: Engine, shop: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it does not wait without end, and gets what it asked for."""
    monkeypatch.setattr(resolver_process, "_DEADLINE", 0.5)
    os.kill(engine.pid, signal.SIGSTOP)
    two = engine.box("two", View((SHOP,), internal=True))
    assert two.addresses("db") == ["172.18.0.9"]
    _eventually(engine, shop, two)
    pid = engine.pid
    os.kill(pid, signal.SIGSTOP)
    engine.run(engine.names.stop())
    engine.names = engine.new_names()
    engine.run(engine.names.start(live={"one", "two"}))
    _eventually(engine, shop, two)
    os.kill(pid, signal.SIGCONT)  # it sees that another has its name
    _until(lambda: pid not in _resolvers(engine.home))
    assert engine.pid != pid


def test_a_remake_that_fails_is_tried_again(engine: Engine, shop: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """One refused registration, and the sandbox lives: it stays known, on disk too, and has its names soon."""
    request, failed = resolver_process.ResolverClient.request, []

    async def once(self: Any, kind: int, body: dict[str, Any], descriptors: Any = ()) -> dict[str, Any]:
        if kind == names_module.protocol.REGISTER and not failed:
            failed.append(body["sandbox"])
            raise WardianError(SYSTEM, "the resolver refuses: for once", operation="names")
        return await request(self, kind, body, descriptors)

    monkeypatch.setattr(resolver_process.ResolverClient, "request", once)
    os.kill(engine.pid, signal.SIGKILL)
    _eventually(engine, shop)
    assert failed == ["one"]
    assert os.path.exists(f"{engine.home.run_root}/resolver/sandboxes/one.json")
    engine.names.publish(STORE, {"db": ["172.19.0.9"]}, {})
    engine.run(engine.names.update("one", View((STORE,), internal=True)))
    assert shop.addresses("db") == ["172.19.0.9"]


def test_a_remake_goes_on_as_long_as_the_engine_lives(
    engine: Engine, shop: Box, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Past all its first tries, and says so once; who is lost meanwhile does not wait for the end of a rest."""
    monkeypatch.setattr(names_module, "_MEND_PAUSES", (0.0, 0.05))
    monkeypatch.setattr(names_module, "_MEND_REST", 0.2)
    two = engine.box("two", View((SHOP,), internal=True))
    box = engine.boxes.pop("one")  # nobody knows a process of it for a while
    os.kill(engine.pid, signal.SIGKILL)
    engine.run(asyncio.sleep(1.5))
    assert [text for text in caplog.messages if "names are not answered" in text] == [
        "names are not answered for all containers; the engine goes on trying"
    ]
    monkeypatch.setattr(names_module, "_MEND_REST", 60.0)
    engine.run(asyncio.sleep(0.5))
    os.kill(engine.pid, signal.SIGKILL)
    _eventually(engine, two)
    monkeypatch.setattr(names_module, "_MEND_REST", 0.2)
    engine.boxes["one"] = box
    os.kill(engine.pid, signal.SIGKILL)
    _eventually(engine, shop, two)


def test_a_remake_that_is_cut_off_forgets_nobody(engine: Engine, shop: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine stops while it makes the sockets again: the next one finds the sandbox, and has them made."""
    request = resolver_process.ResolverClient.request
    reached = asyncio.Event()

    async def never(self: Any, kind: int, body: dict[str, Any], descriptors: Any = ()) -> dict[str, Any]:
        if kind == names_module.protocol.REGISTER:
            reached.set()
            await asyncio.sleep(60)
        return await request(self, kind, body, descriptors)

    monkeypatch.setattr(resolver_process.ResolverClient, "request", never)
    os.kill(engine.pid, signal.SIGKILL)
    engine.run(reached.wait())
    engine.run(engine.names.stop())
    monkeypatch.undo()
    engine.names = engine.new_names()
    engine.run(engine.names.start(live={"one"}))
    _eventually(engine, shop)


def test_a_start_that_is_given_up_leaves_no_sockets(engine: Engine, shop: Box) -> None:
    before = len(os.listdir(f"/proc/{engine.pid}/fd"))

    async def given_up(box: Box) -> None:
        task = asyncio.create_task(engine.names.register("two", box.sockets, View((SHOP,))))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await engine.names.update("one", View((SHOP,), internal=True, search=("x",)))  # after it, in order

    for _ in range(5):
        engine.boxes["two"] = box = Box()
        engine.run(given_up(box))
        engine.boxes.pop("two").close()
    _until(lambda: len(os.listdir(f"/proc/{engine.pid}/fd")) == before)
    assert not os.path.exists(f"{engine.home.run_root}/resolver/sandboxes/two.json")


def test_a_taken_port_gets_another_redirect(engine: Engine, shop: Box) -> None:
    """While the resolver was gone a process in the container bound the port."""
    engine.run(engine.names.stop())
    os.kill(engine.pid, signal.SIGKILL)
    _until(lambda: not _resolvers(engine.home))

    def take() -> socket.socket:
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("0.0.0.0", shop.sockets.port))
        return taken

    with shop.inside(take):
        engine.names = engine.new_names()
        engine.run(engine.names.start(live={"one"}))
        _eventually(engine, shop)


def _eventually(engine: Engine, *boxes: Box) -> None:
    """All are answered again. The engine's loop runs meanwhile; what was asked in the gap is lost, as any datagram."""

    def answered() -> bool:
        try:
            return all(box.addresses("db", timeout=0.2) == ["172.18.0.9"] for box in boxes)
        except OSError:
            return False

    async def poll() -> None:
        while not await asyncio.to_thread(answered):
            await asyncio.sleep(0.02)

    engine.run(poll())


def test_it_ends_with_the_last_engine_that_needs_it_not(engine: Engine, shop: Box) -> None:
    pid = engine.pid
    engine.remove("one")
    engine.run(engine.names.stop())
    assert not _resolvers(engine.home) and not os.path.exists(f"{engine.home.run_root}/resolver")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_ends_when_its_home_is_gone(engine: Engine, shop: Box) -> None:
    engine.run(engine.names.stop())
    subprocess.run(["rm", "-rf", f"{engine.home.run_root}/resolver"], check=True)
    _until(lambda: not _resolvers(engine.home))


def test_another_version_is_replaced(engine: Engine, shop: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that was upgraded meets the resolver of the former one: that is ended, and all is made again."""
    pid = engine.pid
    engine.run(engine.names.stop())
    monkeypatch.setattr(names_module.protocol, "VERSION", 0)
    engine.names = engine.new_names()
    engine.run(engine.names.start(live={"one"}))
    _until(lambda: pid not in _resolvers(engine.home))
    monkeypatch.undo()
    _eventually(engine, shop)


def test_the_namespace_goes_with_its_sandbox(engine: Engine, shop: Box) -> None:
    """Sockets keep a namespace alive: they are gone when the sandbox is forgotten."""
    inode = os.fstat(shop.netns).st_ino
    assert f"net:[{inode}]" not in str([os.readlink("/proc/self/ns/net")])
    before = len(os.listdir(f"/proc/{engine.pid}/fd"))
    engine.remove("one")
    _until(lambda: len(os.listdir(f"/proc/{engine.pid}/fd")) == before - 2)


def test_hostile_requests_are_refused(engine: Engine, shop: Box) -> None:
    """Whoever may open the control socket and talks nonsense is hung up on; the others are served."""
    path = f"{engine.home.run_root}/resolver/control.sock"
    for data in (b"", b"x", b"WRES" + b"\0" * 8, b"WRES\1\0\1\0\0\0\0\0{", b"WRES\1\0\1\0\0\0\0\0[1]"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(5)
            client.connect(path)
            client.send(data or b"\0")
            with contextlib.suppress(ConnectionResetError):
                client.recv(65536)
    assert shop.addresses("db") == ["172.18.0.9"]


def test_descriptors_that_are_no_sockets_are_closed(engine: Engine, shop: Box) -> None:
    before = len(os.listdir(f"/proc/{engine.pid}/fd"))
    packet = names_module.protocol.pack(names_module.protocol.REGISTER, 1, {"sandbox": "two"})
    for _ in range(5):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client, open("/dev/null") as none:
            client.settimeout(5)
            client.connect(f"{engine.home.run_root}/resolver/control.sock")
            socket.send_fds(client, [packet], [none.fileno(), none.fileno()])
            assert b"not a UDP socket" in client.recv(65536)
    _until(lambda: len(os.listdir(f"/proc/{engine.pid}/fd")) == before)


def _most_descriptors(pid: int, most: int) -> None:
    """As the user that the resolver is: root may only with CAP_SYS_RESOURCE (prlimit(2))."""
    command = ["prlimit", f"--pid={pid}", f"--nofile={most}:"]
    subprocess.run(command, user=65534, group=65534, extra_groups=(), check=True)


def test_an_engine_waits_for_a_descriptor_without_a_spin(engine: Engine, shop: Box) -> None:
    """None is free: the connection stays in the queue, and is accepted when there is one again."""
    pid = engine.pid
    assert shop.addresses("db") == ["172.18.0.9"]  # the network's names are read
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    _most_descriptors(pid, min(set(range(len(taken) + 1)) - taken))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(5)
        client.connect(f"{engine.home.run_root}/resolver/control.sock")
        begin = _processor_ticks(pid)
        time.sleep(1.5)
        assert _processor_ticks(pid) - begin < 30
        assert shop.addresses("db") == ["172.18.0.9"]
        _most_descriptors(pid, 1024)
        client.send(names_module.protocol.pack(names_module.protocol.LIST, 1, {}))
        assert b"sandboxes" in client.recv(65536)


def _processor_ticks(pid: int) -> int:
    """proc_pid_stat(5), utime and stime: hundredths of a second."""
    fields = procfs.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
