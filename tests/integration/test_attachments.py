"""Sandboxes on several networks, on a host of their own: what they get, what a crash keeps and a failure leaves."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

import leaks
from own_host import ip, nft, own_host
from wardian.database import Database
from wardian.errors import FORBIDDEN, SYSTEM, WardianError
from wardian.home import Home
from wardian.kernel import netns
from wardian.network import (
    SCHEMA,
    Attachment,
    EndpointWant,
    NetworkConfig,
    Networks,
    PortWant,
    SandboxWant,
    close_ports,
)

PORTS = (PortWant(80, "tcp", "127.0.0.1", 18099),)
TWO_FAMILIES = {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "10.50.0.0/24"}, {"Subnet": "fd00:50::/64"}]}}


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        yield


@asynccontextmanager
async def networks(
    home: Home, purge: bool | None = True, found: Callable[[str], int] | None = None
) -> AsyncIterator[Networks]:
    """Those of one engine. `found` opens the namespace of a sandbox that an earlier one has left."""
    database = Database(home.database, [SCHEMA])
    made = Networks(home, database, found) if found else Networks(home, database)
    await made.start()
    try:
        yield made
    finally:
        await made.stop(purge)
        database.close()


async def make(made: Networks, name: str, subnet: str = "", **more: object) -> NetworkConfig:
    body = {"Name": name, **({"IPAM": {"Config": [{"Subnet": subnet}]}} if subnet else {}), **more}
    return (await made.create(body))[0]


def close(*attachments: Attachment) -> None:
    for one in attachments:
        os.close(one.netns_fd)
        close_ports(one.published)


def inside(attachment: Attachment, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = netns.run_inside(attachment.netns_fd, lambda: ip(*arguments))
    return found


def default_of(attachment: Attachment, family: str = "-4") -> tuple[object, object]:
    (route,) = [one for one in inside(attachment, family, "route") if one["dst"] == "default"]
    return route["dev"], route["gateway"]


def as_before(home: Home) -> dict[str, object]:
    return {"links": [one["ifname"] for one in ip("link")], "rules": nft("list", "ruleset"), "fds": _descriptors()}


def _descriptors() -> int:
    return len(leaks.descriptors())


def test_links_in_order_and_the_default_route_by_priority(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            one, two = await make(made, "b", "10.51.0.0/24"), await make(made, "a", "10.52.0.0/24")
            shut = await make(made, "0", "10.53.0.0/24", Internal=True)
            wants = tuple(EndpointWant(network.id) for network in (shut, one, two))
            first = await made.attach("s1", SandboxWant(wants, names=("web",)))
            assert [(end.interface, end.network.name) for end in first.endpoints] == [
                ("eth0", "0"),
                ("eth1", "b"),
                ("eth2", "a"),
            ]
            assert default_of(first) == ("eth2", "10.52.0.1"), "by name, and never an internal network"
            preferred = (wants[0], wants[1]._replace(gw_priority=1), wants[2])
            second = await made.attach("s2", SandboxWant(preferred))
            assert default_of(second) == ("eth1", "10.51.0.1")
            assert {done.kind for done in first.steps} >= {"address", "link", "route", "name"}
            close(first, second)

    asyncio.run(story())


def test_a_network_with_both_families_leads_before_one_with_ipv4(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            four, both = await make(made, "a"), await make(made, "z", **TWO_FAMILIES)
            given = await made.attach("s1", SandboxWant((EndpointWant(four.id), EndpointWant(both.id))))
            assert default_of(given) == ("eth1", "10.50.0.1")
            assert default_of(given, "-6") == ("eth1", "fd00:50::1")
            end = given.endpoints[1]
            assert (end.ipv6, end.prefix6, end.gateway6) == ("fd00:50::2", 64, "fd00:50::1")
            close(given)

    asyncio.run(story())


def test_connect_and_disconnect_move_the_route_the_ports_and_the_names(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            one, two = await make(made, "n1", "10.51.0.0/24"), await make(made, "n2", "10.52.0.0/24")
            want = SandboxWant((EndpointWant(one.id),), (PortWant(80, "tcp", "127.0.0.1", 18099),), ("web",))
            given = await made.attach("s1", want)
            second = EndpointWant(two.id, gw_priority=7, aliases=("db",))
            whole = want._replace(endpoints=(*want.endpoints, second))
            changed = await made.connect("s1", second, given.netns_fd, whole)
            assert default_of(given) == ("eth1", "10.52.0.1")
            assert [(one.address, one.fd) for one in changed.publishing] == [("10.52.0.2", -1)]
            assert "10.52.0.2 . 80" in nft("list", "ruleset") and "10.51.0.2 . 80" not in nft("list", "ruleset")
            assert [end.dns_names for end in made.endpoints("s1")] == [("web",), ("web", "db")]
            with pytest.raises(WardianError) as caught:
                await made.connect("s1", second, given.netns_fd, whole)
            assert caught.value.kind == FORBIDDEN
            changed = await made.disconnect("s1", two.id, given.netns_fd, want)
            assert default_of(given) == ("eth0", "10.51.0.1")
            assert [one.address for one in changed.publishing] == ["10.51.0.2"]
            changed = await made.disconnect("s1", one.id, given.netns_fd, want._replace(endpoints=()))
            assert changed.released and made.published("s1") == () and made.endpoints("s1") == ()
            assert [link["ifname"] for link in inside(given, "link")] == ["lo"]
            assert "18099" not in nft("list", "ruleset")
            close(given)

    asyncio.run(story())


def test_a_port_that_is_taken_leaves_nothing_of_the_attach(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            network = await make(made, "n1", "10.51.0.0/24")
            await made.host.plumbing.filled()
            with socket.create_server(("127.0.0.1", 0)) as taken:
                number = taken.getsockname()[1]
                ports = (PortWant(81, "tcp", "127.0.0.1", 0), PortWant(80, "tcp", "127.0.0.1", number))
                rules = nft("list", "ruleset")
                with pytest.raises(WardianError, match="already") as caught:
                    await made.attach("s1", SandboxWant((EndpointWant(network.id),), ports, ("web",)))
                assert caught.value.kind == SYSTEM and str(os.getpid()) in caught.value.hint
                assert nft("list", "ruleset") == rules
            assert made.endpoints("s1") == () and made.inspect("n1")["Containers"] == {}
            given = await made.attach("s1", SandboxWant((EndpointWant(network.id),), ports, ("web",)))
            assert given.endpoints[0].ipv4 == "10.51.0.3", "the next one: the first was given back last"
            close(given)

    asyncio.run(story())


def test_who_gives_up_waiting_leaves_no_port_and_no_rule(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            network = await make(made, "n1", "10.51.0.0/24")
            await made.host.plumbing.filled()
            descriptors, rules = _descriptors(), nft("list", "ruleset")
            for pause in (0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.01):
                want = SandboxWant((EndpointWant(network.id),), (PortWant(80, "tcp"),), ("web",))
                task = asyncio.ensure_future(made.attach("s1", want))
                await asyncio.sleep(pause)
                if task.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await task
                else:
                    close(task.result())
                    await made.detach("s1")
                await made._naming.settled()
                assert made.endpoints("s1") == () and made.published("s1") == ()
                assert nft("list", "ruleset") == rules
            made.host.plumbing.discard()
            assert _descriptors() <= descriptors

    asyncio.run(story())


@pytest.mark.parametrize("name", ["bridge", "n1"])
def test_who_gives_up_in_a_namespace_of_their_own_leaves_nothing_that_holds_it(home: Home, name: str) -> None:
    async def story() -> None:
        async with networks(home) as made:
            await make(made, "n1", "10.51.0.0/24")
            await made.host.plumbing.filled()
            want = SandboxWant((EndpointWant(made.network(name).id),), names=("web",))
            for turns in range(12):
                own, _ = netns.create(lambda: None)
                identity = os.fstat(own).st_ino
                task = asyncio.ensure_future(made.attach("s1", want, own))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                os.close(own)
                async with asyncio.timeout(30):
                    while identity in _namespaces():  # what is under way in the thread comes to its end
                        await asyncio.sleep(0.001)

    asyncio.run(story())


def _namespaces() -> list[int]:
    """Those that this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            if os.readlink(f"/proc/self/fd/{fd}").startswith("net:"):
                found.append(os.fstat(int(fd)).st_ino)
    return found


@pytest.mark.parametrize("step", ["rules", "links"])
@pytest.mark.parametrize("left", [0, 1], ids=["the last network", "the one that leads"])
def test_who_gives_up_leaving_a_network_has_left_it(
    home: Home, monkeypatch: pytest.MonkeyPatch, left: int, step: str
) -> None:
    """Link, ports and rows say the same, whenever the cancel comes."""

    async def story() -> None:
        async with networks(home) as made:
            one, two = await make(made, "n1", "10.51.0.0/24"), await make(made, "n2", "10.52.0.0/24")
            ends = (EndpointWant(one.id), EndpointWant(two.id, gw_priority=1))[: left + 1]
            want = SandboxWant(ends, (PortWant(80, "tcp", "127.0.0.1", 18099),), ("web",))
            given = await made.attach("s1", want)
            begun, loop = asyncio.Event(), asyncio.get_running_loop()
            where, name = {
                "rules": (made.host.board._firewall, "remove_ports"),
                "links": (made.host.plumbing, "_disconnect"),
            }[step]
            real = getattr(where, name)

            def slowly(*arguments: object) -> object:
                loop.call_soon_threadsafe(begun.set)
                time.sleep(0.05)
                return real(*arguments)

            monkeypatch.setattr(where, name, slowly)
            whole = want._replace(endpoints=ends[:left])
            leaving = asyncio.ensure_future(made.disconnect("s1", ends[left].network, given.netns_fd, whole))
            await begun.wait()
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert [link["ifname"] for link in inside(given, "link")] == ["lo", "eth0"][: left + 1]
            assert len(made.endpoints("s1")) == left and bool(made.published("s1")) == bool(left)
            rules = nft("list", "ruleset")
            assert "10.52.0.2 . 80" not in rules and ("10.51.0.2 . 80" in rules) == bool(left)
            assert made._attachments.standing("s1").released == (not left)
            close(given)

    asyncio.run(story())


def test_a_crash_keeps_what_lives_and_gives_back_the_rest(home: Home) -> None:
    async def before() -> None:
        async with networks(home, purge=False) as made:
            network = await make(made, "n1", "10.51.0.0/24")
            for sandbox, port in (("lives", 18091), ("died", 18092)):
                ports = (PortWant(80, "tcp", "127.0.0.1", port),)
                given = await made.attach(sandbox, SandboxWant((EndpointWant(network.id),), ports, (sandbox,)))
                close_ports(given.published)
                held.append(given.netns_fd)

    async def after() -> None:
        async with networks(home) as made:
            assert "18092" in nft("list", "ruleset"), "until it is known who lives"
            network = made.network("n1")
            live = {"lives": SandboxWant((EndpointWant(network.id),), names=("web", "x"))}
            assert (await made.recover(live)).gone == ["died"]
            rules = nft("list", "ruleset")
            assert "18091" in rules and "18092" not in rules
            (end,) = made.endpoints("lives")
            assert (end.ipv4, end.dns_names) == ("10.51.0.2", ("web", "x"))
            assert [(port.host_ip, port.host_port, port.fd) for port in made.published("lives")] == [
                ("127.0.0.1", 18091, -1)
            ]
            await made.detach("lives")
            assert "18091" not in nft("list", "ruleset")

    held: list[int] = []
    asyncio.run(before())
    asyncio.run(after())
    for descriptor in held:
        os.close(descriptor)


def test_a_network_that_nobody_heard_of_is_left_again(home: Home) -> None:
    """The engine was killed between the connect and what it stores of it."""

    async def before() -> None:
        async with networks(home, purge=False) as made:
            one, two = await make(made, "n1", "10.51.0.0/24"), await make(made, "n2", "10.52.0.0/24")
            want = SandboxWant((EndpointWant(one.id),), PORTS, ("web",))
            given.append(await made.attach("s1", want))
            second = EndpointWant(two.id, gw_priority=1)
            whole = want._replace(endpoints=(*want.endpoints, second))
            await made.connect("s1", second, given[0].netns_fd, whole)

    async def after() -> None:
        async with networks(home, found=lambda _: os.dup(given[0].netns_fd)) as made:
            want = SandboxWant((EndpointWant(made.network("n1").id),), PORTS, ("web",))
            recalled = await made.recover({"s1": want})
            assert recalled.gone == []
            changed = recalled.standing["s1"]
            assert [one.address for one in changed.publishing] == ["10.51.0.2"], "its supervisor is to hear of it"
            assert [end.network.name for end in made.endpoints("s1")] == ["n1"]
            assert default_of(given[0]) == ("eth0", "10.51.0.1")
            assert made.inspect("n2")["Containers"] == {}

    given: list[Attachment] = []
    asyncio.run(before())
    asyncio.run(after())
    close(*given)


def test_an_endpoint_whose_link_went_is_left_for_good(home: Home) -> None:
    """The engine was killed in a disconnect, between the link's end and the row's."""

    async def before() -> None:
        async with networks(home, purge=False) as made:
            one, two = await make(made, "n1", "10.51.0.0/24"), await make(made, "n2", "10.52.0.0/24")
            want = SandboxWant((EndpointWant(one.id), EndpointWant(two.id, gw_priority=1)), PORTS, ("web",))
            given.append(await made.attach("s1", want))
            await made.host.plumbing.disconnect(given[0].endpoints[1], given[0].netns_fd)

    async def after() -> None:
        async with networks(home, found=lambda _: os.dup(given[0].netns_fd)) as made:
            ends = (EndpointWant(made.network("n1").id), EndpointWant(made.network("n2").id, gw_priority=1))
            recalled = await made.recover({"s1": SandboxWant(ends, PORTS, ("web",))})
            assert [end.network.name for end in made.endpoints("s1")] == ["n1"]
            assert [port.address for port in recalled.standing["s1"].publishing] == ["10.51.0.2"]
            assert default_of(given[0]) == ("eth0", "10.51.0.1")
            assert made.inspect("n2")["Containers"] == {} and "10.52.0.2 . 80" not in nft("list", "ruleset")
            await made.recover({"s1": SandboxWant(ends, PORTS, ("web",))})
            assert [end.network.name for end in made.endpoints("s1")] == ["n1"], "what stands, stays"

    given: list[Attachment] = []
    asyncio.run(before())
    asyncio.run(after())
    close(*given)


def test_an_end_that_comes_while_a_network_is_connected_takes_that_too(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            one, two = await make(made, "n1", "10.51.0.0/24"), await make(made, "n2", "10.52.0.0/24")
            want = SandboxWant((EndpointWant(one.id),), names=("web",))
            given = await made.attach("s1", want)
            whole = want._replace(endpoints=(*want.endpoints, EndpointWant(two.id)))
            connecting = asyncio.ensure_future(made.connect("s1", whole.endpoints[1], given.netns_fd, whole))
            await asyncio.sleep(0)
            await asyncio.gather(connecting, made.detach("s1"))
            assert made.endpoints("s1") == ()
            assert made.inspect("n2")["Containers"] == {}
            close(given)

    asyncio.run(story())


def test_what_is_planned_is_what_is_done(home: Home) -> None:
    async def story() -> None:
        async with networks(home) as made:
            network = await make(made, "n1", **TWO_FAMILIES)
            ports = (PortWant(80, "tcp", "127.0.0.1", 18099),)
            want = SandboxWant((EndpointWant(network.id),), ports, ("web",))
            planned = made.planned("s1", want)
            assert made.inspect("n1")["Containers"] == {}
            given = await made.attach("s1", want)
            done = [(step.kind, step.description.split(" ")[0]) for step in given.steps if step.kind != "rule"]
            expected = [(step.kind, step.description.split(" ")[0]) for step in planned]
            assert [kind for kind, _ in done] == [kind for kind, _ in expected]
            assert [one for one in done if one[0] in ("address", "route", "sysctl", "name")] == [
                one for one in expected if one[0] in ("address", "route", "sysctl", "name")
            ]
            assert all(step.nanoseconds == 0 for step in planned)
            close(given)

    asyncio.run(story())


def test_everything_is_as_before_after_a_purge(home: Home) -> None:
    before = as_before(home)

    async def story() -> None:
        async with networks(home) as made:
            network = await make(made, "n1", **TWO_FAMILIES)
            both = (EndpointWant(made.network("bridge").id), EndpointWant(network.id))
            close(await made.attach("s1", SandboxWant(both, (PortWant(80, "tcp"),), ("web",))))
            await made.detach("s1")

    asyncio.run(story())
    for _ in range(200):
        if as_before(home) == before:
            break
        asyncio.run(asyncio.sleep(0.01))
    assert as_before(home) == before
