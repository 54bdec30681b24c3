"""The default bridge on a host of its own: addresses, reach, neighbours, other firewalls, crashes, and what is left."""

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import leaks
from own_host import ip, nft, own_host
from wardian.database import Database
from wardian.errors import CONFLICT, SYSTEM, UNAVAILABLE, WardianError
from wardian.home import Home, make_home
from wardian.kernel import netlink, netns
from wardian.network import SCHEMA, EndpointWant, Networks, SandboxWant, plumbing

BRIDGE = "wtbr0"
# iptables as Docker 28 leaves it, without the rules for its own bridges.
DOCKER = """
table ip filter {
    chain DOCKER { iifname != "docker0" oifname "docker0" counter drop
    }
    chain DOCKER-FORWARD { oifname "docker0" counter jump DOCKER
        iifname "docker0" counter accept
    }
    chain DOCKER-USER {
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        counter jump DOCKER-USER
        counter jump DOCKER-FORWARD
    }
}
"""


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        yield


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(str(tmp_path / "data"), str(tmp_path / "run"), bridge=BRIDGE)


@asynccontextmanager
async def networks(home: Home, purge: bool | None = True) -> AsyncIterator[Networks]:
    database = Database(home.database, [SCHEMA])
    made = Networks(home, database)
    await made.start()
    try:
        yield made
    finally:
        await made.stop(purge)
        database.close()


class Given(NamedTuple):
    """A sandbox on the default bridge alone."""

    netns_fd: int
    address: str
    prefix: int
    gateway: str
    mac: str


async def acquire(made: Networks, sandbox: str, mac: str = "", ipv4: str = "") -> Given:
    want = EndpointWant(made.network("bridge").id, mac=mac, ipv4=ipv4)
    attachment = await made.attach(sandbox, SandboxWant((want,)))
    (one,) = attachment.endpoints
    return Given(attachment.netns_fd, one.ipv4, one.prefix4, one.gateway4, one.mac)


async def full(made: Networks) -> None:
    await made.host.plumbing.filled()


def subnet_of(made: Networks) -> str:
    subnet = made.network("bridge").v4
    return str(subnet.subnet) if subnet is not None else ""


def listen(address: str) -> socket.socket:
    """A TCP listener in the calling thread's namespace."""
    listener = socket.create_server((address, 0))
    listener.settimeout(5)
    return listener


def connect(address: tuple[str, int], seconds: float = 3) -> str:
    """Connect from the calling thread's namespace; returns "reached", or what came instead."""
    try:
        with socket.create_connection(address, timeout=seconds):
            return "reached"
    except OSError as error:
        return type(error).__name__


def until(met: Callable[[], bool], seconds: float = 2) -> bool:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_an_endpoint_is_what_it_says(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            endpoint = await acquire(made, "one")
            assert (endpoint.address, endpoint.prefix, endpoint.gateway) == ("172.17.0.2", 16, "172.17.0.1")
            (kept,) = made.endpoints("one")
            assert kept.ipv4 == endpoint.address
            links = netns.run_inside(endpoint.netns_fd, lambda: ip("address"))
            assert [link["ifname"] for link in links] == ["lo", "eth0"]
            assert all("UP" in link["flags"] for link in links)
            assert links[1]["address"] == "02:42:ac:11:00:02" == endpoint.mac
            # No IPv6 on eth0, but localhost has it: programs bind ::1.
            assert [info["local"] for info in links[1]["addr_info"]] == ["172.17.0.2"]
            assert "::1" in [info["local"] for info in links[0]["addr_info"]]
            (default,) = [r for r in netns.run_inside(endpoint.netns_fd, lambda: ip("route")) if r["dst"] == "default"]
            assert default["gateway"] == "172.17.0.1"
            settings = kept.settings()
            assert (settings["IPAddress"], settings["IPPrefixLen"]) == ("172.17.0.2", 16)
            assert made.info() == []
            os.close(endpoint.netns_fd)

    asyncio.run(story())


def test_ports_have_no_routes_on_the_host(home: Home) -> None:
    """ff00::/8 of each would be walked over whenever any link of the host changes: starts would cost more and more."""

    async def story() -> None:
        async with networks(home) as made:
            given = [await acquire(made, name) for name in ("one", "two")]
            await full(made)
            ports = {link["ifname"] for link in ip("link", "show", "master", BRIDGE)}
            assert len(ports) >= 2
            assert not ports & {route.get("dev") for route in ip("-6", "route", "show", "table", "all")}
            close(*given)

    asyncio.run(story())


def test_everything_is_as_before_after_a_purge(home: Home) -> None:
    before = ip("link"), ip("address"), ip("route"), nft("list", "ruleset")
    descriptors = leaks.descriptors()

    async def story() -> None:
        async with networks(home) as made:
            for number in range(6):
                endpoint = await acquire(made, f"s{number}")
                os.close(endpoint.netns_fd)
                await made.detach(f"s{number}")
            assert nft("list", "ruleset")

    asyncio.run(story())
    assert until(lambda: (ip("link"), ip("address"), ip("route"), nft("list", "ruleset")) == before)
    assert not leaks.descriptors() - descriptors


def test_containers_reach_each_other_and_the_host(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            one, two = await acquire(made, "one"), await acquire(made, "two")
            listener = netns.run_inside(two.netns_fd, lambda: listen("0.0.0.0"))
            port = listener.getsockname()[1]
            started = time.monotonic()
            assert netns.run_inside(one.netns_fd, lambda: connect((two.address, port))) == "reached"
            assert connect((two.address, port)) == "reached"
            with listen("0.0.0.0") as at_host:
                gate = (made.host_gateway, at_host.getsockname()[1])
                assert netns.run_inside(one.netns_fd, lambda: connect(gate)) == "reached"
            # A bridge port that does not forward yet would cost the first packet, and with it a second.
            assert time.monotonic() - started < 0.9
            close(listener, one, two)

    asyncio.run(story())


def close(*things: socket.socket | Given) -> None:
    for thing in things:
        if isinstance(thing, Given):
            os.close(thing.netns_fd)
        else:
            thing.close()


def outside() -> int:
    """A namespace that plays the world: 192.0.2.9 behind the host's link `wtout`, 192.0.2.1. It routes the containers'
    ranges to the host, as a neighbour that wants in would; what comes unmasqueraded can be told by its source."""
    inside, inner = netns.create(netlink.Netlink)
    with netlink.Netlink() as nl:
        nl.send([netlink.new_veth("wtout", 0, "eth0", inside)])
        out, eth0 = nl.link("wtout"), inner.link("eth0")
        assert out is not None
        assert eth0 is not None
        nl.send([netlink.new_address(out.ifindex, "wtout", "192.0.2.1", 24)])
    inner.send([netlink.link_up(1, "lo"), netlink.link_up(eth0.ifindex, "eth0")])
    inner.send([netlink.new_address(eth0.ifindex, "eth0", "192.0.2.9", 24)])
    inner.send([netlink.new_route("172.16.0.0/12", eth0.ifindex, "192.0.2.1")])
    inner.close()
    return inside


@pytest.mark.parametrize("docker", [False, True], ids=["alone", "beside Docker"])
def test_the_way_outward_is_masqueraded_and_nobody_comes_in(home: Home, docker: bool) -> None:
    if docker:
        nft(commands=DOCKER)

    async def story() -> None:
        world = outside()
        async with networks(home) as made:
            endpoint = await acquire(made, "one")
            listener = netns.run_inside(world, lambda: listen("192.0.2.9"))
            reached = netns.run_inside(endpoint.netns_fd, lambda: connect(listener.getsockname()))
            assert reached == "reached"
            assert listener.accept()[1][0] == "192.0.2.1", "the world sees the host's address"
            # A neighbour that routes the subnet to us must not get in to what nobody published.
            own = netns.run_inside(endpoint.netns_fd, lambda: listen("0.0.0.0"))
            at = (endpoint.address, own.getsockname()[1])
            assert netns.run_inside(world, lambda: connect(at, 0.5)) == "TimeoutError"
            assert bool(made.info()) is docker
            close(listener, own, endpoint)
        os.close(world)

    asyncio.run(story())


def test_dockers_chain_gets_a_marked_rule_and_loses_it_again(home: Home) -> None:
    nft(commands=DOCKER)
    before = nft("list", "chain", "ip", "filter", "FORWARD")

    async def story() -> None:
        async with networks(home, purge=False):
            pass
        async with networks(home) as made:  # a second start doubles nothing
            chain = nft("list", "chain", "ip", "filter", "FORWARD")
            assert chain.count(f'comment "wardian: {BRIDGE}"') == 1
            assert chain.index("DOCKER-FORWARD") < chain.index("wardian:"), "Docker's own rules come first"
            (said,) = made.info()
            assert "ip filter FORWARD" in said
            assert BRIDGE in said

    asyncio.run(story())
    assert nft("list", "chain", "ip", "filter", "FORWARD") == before


def test_dockers_containers_stay_apart_from_ours(home: Home) -> None:
    """The reason why the rules are not in DOCKER-USER: an accept there would end the chain before Docker's drop."""
    nft(commands=DOCKER)
    theirs, inner = netns.create(netlink.Netlink)
    with netlink.Netlink() as nl:
        nl.send([netlink.new_bridge("docker0", "02:42:0a:08:00:01")])
        docker0 = nl.link("docker0")
        assert docker0 is not None
        nl.send([netlink.link_up(docker0.ifindex, "docker0")])
        nl.send([netlink.new_address(docker0.ifindex, "docker0", "10.8.0.1", 24)])
        nl.send([netlink.new_veth("wtdock", docker0.ifindex, "eth0", theirs)])
    eth0 = inner.link("eth0")
    assert eth0 is not None
    inner.send([netlink.link_up(eth0.ifindex, "eth0"), netlink.new_address(eth0.ifindex, "eth0", "10.8.0.2", 24)])
    inner.send([netlink.new_route("0.0.0.0/0", eth0.ifindex, "10.8.0.1")])
    listener = netns.run_inside(theirs, lambda: listen("0.0.0.0"))
    port = listener.getsockname()[1]

    async def story() -> None:
        async with networks(home) as made:
            endpoint = await acquire(made, "one")
            assert connect(("10.8.0.2", port)) == "reached"
            assert netns.run_inside(endpoint.netns_fd, lambda: connect(("10.8.0.2", port), 0.5)) == "TimeoutError"
            own = netns.run_inside(endpoint.netns_fd, lambda: listen("0.0.0.0"))
            at = (endpoint.address, own.getsockname()[1])
            assert netns.run_inside(theirs, lambda: connect(at, 0.5)) == "TimeoutError"
            close(own, endpoint)

    asyncio.run(story())
    inner.close()
    listener.close()
    os.close(theirs)


def test_a_docker_that_comes_later_and_a_flush_are_mended_at_the_next_use(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            assert made.info() == []
            nft(commands=DOCKER)
            close(await acquire(made, "one"))
            assert len(made.info()) == 1
            nft(commands="flush ruleset\n")
            close(await acquire(made, "two"))
            assert "masquerade" in nft("list", "ruleset")

    asyncio.run(story())


def test_another_firewall_that_drops_is_named(home: Home) -> None:
    nft(commands="table inet walls { chain incoming { type filter hook forward priority 0; policy drop; }\n}\n")

    async def story() -> None:
        async with networks(home) as made:
            (said,) = made.info()
            assert "inet walls incoming" in said

    asyncio.run(story())
    assert "wardian" not in nft("list", "ruleset")


def test_a_bridge_that_somebody_deleted_is_made_again(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            await full(made)
            with netlink.Netlink() as nl:
                link = nl.link(BRIDGE)
                assert link is not None
                nl.send([netlink.delete_link(link.ifindex, BRIDGE)])
            one, two = await asyncio.gather(acquire(made, "one"), acquire(made, "two"))
            listener = netns.run_inside(two.netns_fd, lambda: listen("0.0.0.0"))
            at = (two.address, listener.getsockname()[1])
            assert netns.run_inside(one.netns_fd, lambda: connect(at)) == "reached"
            close(listener, one, two)

    asyncio.run(story())


def test_twenty_at_once_get_twenty_addresses(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            wanted = [acquire(made, f"s{number}") for number in range(20)]
            given = await asyncio.gather(*wanted)
            assert len({endpoint.address for endpoint in given}) == 20
            assert len({os.fstat(endpoint.netns_fd).st_ino for endpoint in given}) == 20
            for endpoint in given:
                (seen,) = netns.run_inside(endpoint.netns_fd, lambda: ip("address", "show", "eth0"))
                assert seen["addr_info"][0]["local"] == endpoint.address
                assert seen["address"] == endpoint.mac
            close(*given)
            assert len(made.inspect("bridge")["Containers"]) == 20

    asyncio.run(story())


def test_who_gives_up_waiting_leaves_nothing(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            tasks = [asyncio.ensure_future(acquire(made, f"s{number}")) for number in range(12)]
            await asyncio.sleep(0.004)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            kept = [one for one in results if isinstance(one, Given)]
            assert len(made.inspect("bridge")["Containers"]) == len(kept) >= 6
            close(*kept)

    descriptors = leaks.descriptors()
    asyncio.run(story())
    assert not leaks.descriptors() - descriptors
    assert until(lambda: len(ip("link")) == 1)


def crash_with_two(home: Home) -> dict[str, str]:
    """An engine that takes two endpoints and is killed. The first one's namespace is kept, as a container keeps it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        holder = 0
        try:

            async def story() -> None:
                nonlocal holder
                made = Networks(home, Database(home.database, [SCHEMA]))
                await made.start()
                one, _ = await acquire(made, "lives"), await acquire(made, "died")
                os.set_inheritable(one.netns_fd, True)
                await full(made)
                holder = os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setpgroup=0)
                os.write(writing, f"{holder} {one.address}".encode())
                os.kill(os.getpid(), 9)

            asyncio.run(story())
        finally:
            os._exit(1)
    os.close(writing)
    os.waitpid(child, 0)
    holder, address = os.read(reading, 100).decode().split()
    os.close(reading)
    return {"holder": holder, "address": address}


def test_an_engine_that_is_killed_loses_nothing_that_lives(home: Home) -> None:
    left = crash_with_two(home)
    try:
        # The pool's links go with the engine's descriptors; the container's stays.
        assert until(lambda: sum(link["ifname"].startswith("vethw") for link in ip("link")) == 1)

        async def story() -> None:
            async with networks(home) as made:
                assert (await made.recover({"lives": SandboxWant(())})).gone == ["died"]
                (kept,) = made.endpoints("lives")
                assert kept.ipv4 == left["address"] == "172.17.0.2"
                fresh = await acquire(made, "new")
                assert fresh.address == "172.17.0.4", "not that of the dead one yet"
                with pytest.raises(WardianError) as caught:
                    await acquire(made, "lives")
                assert caught.value.kind == CONFLICT
                close(fresh)

        asyncio.run(story())
    finally:
        os.kill(int(left["holder"]), 9)


def test_a_stop_leaves_the_bridge_to_those_who_live_on_it(home: Home) -> None:
    async def story(sandbox: str) -> None:
        async with networks(home, purge=None) as made:
            await made.recover({})
            if sandbox:
                close(await acquire(made, sandbox))

    asyncio.run(story("one"))
    assert "wardian" in nft("list", "ruleset")
    assert any(link["ifname"] == BRIDGE for link in ip("link"))
    asyncio.run(story(""))
    assert nft("list", "ruleset") == ""
    assert until(lambda: [link["ifname"] for link in ip("link")] == ["lo"])


def test_two_engines_coexist_and_take_different_ranges(home: Home, tmp_path: Path) -> None:
    other_home = make_home(str(tmp_path / "d2"), str(tmp_path / "r2"), bridge="wtbr1")

    async def story() -> None:
        async with networks(home) as first:
            async with networks(other_home) as second:
                assert subnet_of(first) == "172.17.0.0/16"
                assert subnet_of(second) == "172.18.0.0/16"
                one, two = await acquire(first, "one"), await acquire(second, "two")
                listener = netns.run_inside(two.netns_fd, lambda: listen("0.0.0.0"))
                at = (two.address, listener.getsockname()[1])
                assert netns.run_inside(one.netns_fd, lambda: connect(at, 0.5)) == "TimeoutError"
                close(listener, one, two)
            assert "wardian-wtbr0" in nft("list", "ruleset")
            assert "wtbr1" not in nft("list", "ruleset")

    asyncio.run(story())


def test_a_range_that_the_host_took_meanwhile_is_given_up_unless_somebody_lives_there(home: Home) -> None:
    async def story(expected: str, leave: bool) -> None:
        async with networks(home) as made:
            assert subnet_of(made) == expected
            if leave:
                close(await acquire(made, "one"))

    asyncio.run(story("172.17.0.0/16", leave=False))
    with netlink.Netlink() as nl:
        nl.send([netlink.new_bridge("wtlan", "02:42:00:00:00:01")])
        lan = nl.link("wtlan")
        assert lan is not None
        nl.send([netlink.link_up(lan.ifindex, "wtlan"), netlink.new_address(lan.ifindex, "wtlan", "172.17.5.1", 24)])
        asyncio.run(story("172.18.0.0/16", leave=True))
        nl.send([netlink.new_address(lan.ifindex, "wtlan", "172.18.5.1", 24)])
    asyncio.run(story("172.18.0.0/16", leave=False))


def test_a_reused_address_is_announced(home: Home) -> None:
    """A neighbour that remembers the old MAC hears of the new one at once: a gratuitous ARP (RFC 826, 5227)."""

    async def story() -> None:
        async with networks(home) as made:
            one, two = (
                await acquire(made, "one"),
                await acquire(made, "two", "02:42:00:00:00:aa"),
            )
            ears = netns.run_inside(one.netns_fd, listen_arp)
            third = await acquire(made, "three")
            sender = bytes.fromhex(third.mac.replace(":", "")) + socket.inet_aton(third.address)
            while ears.recv(100)[22:32] != sender:  # what is told of the others comes when it comes, but in its turn
                pass
            assert two.mac == "02:42:00:00:00:aa"
            close(ears, one, two, third)

    asyncio.run(story())


def test_an_address_that_always_was_at_its_mac_is_announced_to_nobody(home: Home) -> None:
    """The bridge knows the new one's port all the same: packets go there alone, before it has said anything."""

    async def story() -> None:
        async with networks(home) as made:
            one = await acquire(made, "one")
            ears = netns.run_inside(one.netns_fd, listen_arp)
            two = await acquire(made, "two")
            asked = await acquire(made, "asked", ipv4="172.17.0.77")  # others may wait for it: they hear of it
            assert ears.recv(100)[28:32] == socket.inet_aton(asked.address), "two's would have come before"
            behind = {link["ifname"] for link in ip("link", "show", "master", BRIDGE)}
            for given in (two, asked):
                (known,) = [one for one in forwarding() if one["mac"] == given.mac and "vlan" not in one]
                assert known["ifname"] in behind and known["state"] == ""
            assert len({one["ifname"] for one in forwarding() if one["mac"] in (two.mac, asked.mac)}) == 2
            close(ears, one, two, asked)

    asyncio.run(story())


def forwarding() -> list[dict[str, Any]]:
    """bridge(8), fdb."""
    shown = subprocess.run(["bridge", "-j", "fdb", "show", "br", BRIDGE], check=True, capture_output=True, text=True)
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found


def listen_arp() -> socket.socket:
    ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    ears.bind(("eth0", 0x0806))
    ears.settimeout(2)
    return ears


def test_a_link_that_is_no_bridge_is_refused(home: Home) -> None:
    inside, inner = netns.create(netlink.Netlink)
    with netlink.Netlink() as nl:
        nl.send([netlink.new_veth(BRIDGE, 0, "eth0", inside)])

    async def story() -> None:
        async with networks(home):
            pass

    with pytest.raises(WardianError, match="exists and is no bridge") as caught:
        asyncio.run(story())
    assert caught.value.kind == CONFLICT
    inner.close()
    os.close(inside)


def test_a_pool_that_cannot_be_filled_fails_who_waits_and_works_again_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "unshare a network namespace: Too many open files")

    async def story() -> None:
        async with networks(home) as made:
            await full(made)
            made.host.plumbing.discard()
            with monkeypatch.context() as patched:
                patched.setattr(plumbing, "prepare", refuse)
                wanted = (acquire(made, name) for name in ("one", "two"))
                for error in await asyncio.gather(*wanted, return_exceptions=True):
                    assert isinstance(error, WardianError)
                    assert (error.kind, error.errno) == (SYSTEM, 24)
                    assert "Too many open files" in error.message
            assert made.endpoints("one") == ()
            close(await acquire(made, "one"))

    asyncio.run(story())


def test_before_the_start_there_is_nothing_to_acquire(home: Home) -> None:
    database = Database(home.database, [SCHEMA])
    made: Any = Networks(home, database)
    with pytest.raises(WardianError) as caught:
        asyncio.run(acquire(made, "one"))
    assert caught.value.kind == UNAVAILABLE
    database.close()
