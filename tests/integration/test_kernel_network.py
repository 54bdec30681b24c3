"""netlink, nftables and netns against the real kernel, with `ip -j` and `nft` as the oracle."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

import leaks
from own_host import ip, nft, own_host
from wardian.errors import WardianError
from wardian.kernel import netlink, netns, nftables


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        yield


@pytest.fixture
def route() -> Iterator[netlink.Netlink]:
    with netlink.Netlink() as opened:
        yield opened


def test_a_bridge_and_a_veth_are_as_ip_sees_them(route: netlink.Netlink) -> None:
    route.send([netlink.new_bridge("wtbr", "02:42:0a:01:02:03")])
    bridge = route.link("wtbr")
    assert bridge is not None
    route.send([netlink.link_up(bridge.ifindex, "wtbr"), netlink.new_address(bridge.ifindex, "wtbr", "10.1.0.1", 24)])
    inside, inner = netns.create(netlink.Netlink)
    route.send([netlink.new_veth("wtv0", bridge.ifindex, "eth0", inside, mtu=1400)])
    eth0 = inner.link("eth0")
    assert eth0 is not None
    inner.send(
        [
            netlink.link_up(eth0.ifindex, "eth0"),
            netlink.new_address(eth0.ifindex, "eth0", "10.1.0.2", 24),
            netlink.set_mac(eth0.ifindex, "eth0", "02:42:0a:01:00:02"),
            netlink.new_route("0.0.0.0/0", eth0.ifindex, "10.1.0.1"),
        ]
    )
    (seen,) = ip("-d", "link", "show", "wtbr")
    assert (seen["linkinfo"]["info_kind"], seen["address"]) == ("bridge", "02:42:0a:01:02:03")
    assert "UP" in seen["flags"]
    (outer,) = ip("link", "show", "wtv0")
    assert (outer["master"], outer["mtu"]) == ("wtbr", 1400)
    (inside_view,) = netns.run_inside(inside, lambda: ip("address", "show", "eth0"))
    assert (inside_view["address"], inside_view["mtu"]) == ("02:42:0a:01:00:02", 1400)
    address = next(one for one in inside_view["addr_info"] if one["family"] == "inet")
    assert (address["local"], address["prefixlen"], address["broadcast"]) == ("10.1.0.2", 24, "10.1.0.255")
    default = next(one for one in netns.run_inside(inside, lambda: ip("route")) if one["dst"] == "default")
    assert (default["gateway"], default["dev"]) == ("10.1.0.1", "eth0")
    inner.close()
    os.close(inside)


def test_dumps_agree_with_ip(route: netlink.Netlink) -> None:
    for number in range(40):  # more than one answer's worth of bytes
        route.send([netlink.new_bridge(f"wtbr{number}", f"02:42:00:00:00:{number:02x}")])
    link = route.link("wtbr7")
    assert link is not None
    route.send([netlink.link_up(link.ifindex, link.name), netlink.new_address(link.ifindex, link.name, "10.7.0.1", 16)])
    route.send([netlink.new_route("10.99.0.0/16", link.ifindex, "10.7.0.9")])
    assert [(one.ifindex, one.name, one.mac) for one in route.links()] == [
        (one["ifindex"], one["ifname"], one["address"]) for one in ip("link")
    ]
    assert {str(one.destination): one.gateway for one in route.routes() if one.destination.version == 4} == {
        one["dst"]: one.get("gateway", "") for one in ip("-4", "route")
    }
    assert {str(one.address) for one in route.addresses()} == {
        info["local"] for one in ip("address") for info in one["addr_info"]
    }


def test_a_refusal_names_the_operation_and_the_rest_is_done(route: netlink.Netlink) -> None:
    with pytest.raises(netlink.NetlinkError, match="create bridge lo: File exists") as caught:
        route.send([netlink.new_bridge("lo", "02:42:00:00:00:01"), netlink.new_bridge("wtbr", "02:42:00:00:00:01")])
    assert caught.value.errno == 17
    assert route.link("wtbr") is not None
    with pytest.raises(netlink.NetlinkError, match=r"add route to 0\.0\.0\.0/0: .*invalid gateway"):
        route.send([netlink.new_route("0.0.0.0/0", 1, "10.9.9.9")])
    assert route.link("nope") is None
    route.send([])


def test_a_namespace_is_left_only_by_the_thread_that_entered_it() -> None:
    here = os.readlink("/proc/thread-self/ns/net")
    inside, name = netns.create(lambda: os.readlink("/proc/thread-self/ns/net"))
    assert name != here
    assert netns.run_inside(inside, lambda: os.readlink("/proc/thread-self/ns/net")) == name
    assert os.readlink("/proc/thread-self/ns/net") == here
    with pytest.raises(ZeroDivisionError):
        netns.run_inside(inside, lambda: 1 // 0)
    assert not os.get_inheritable(inside)
    os.close(inside)
    with pytest.raises(OSError, match="setns: Invalid argument"):
        netns.run_inside(0, lambda: None)
    assert not [one for one in threading.enumerate() if one.name == "netns"]


def test_sysctls_are_those_of_the_namespace() -> None:
    netns.write_sysctl("ipv4/ip_forward", "1")
    inside, _ = netns.create(lambda: netns.write_sysctl("ipv4/ip_forward", "0"))
    assert netns.run_inside(inside, lambda: netns.read_sysctl("ipv4/ip_forward")) == "0"
    assert netns.read_sysctl("ipv4/ip_forward") == "1"
    assert netns.write_sysctl("ipv4/no_such_thing", "1") is False
    os.close(inside)


@pytest.fixture(params=["library", "program"])
def tables(request: pytest.FixtureRequest) -> Iterator[nftables.Nftables]:
    opened = nftables.LibraryNftables() if request.param == "library" else nftables.ProgramNftables("/usr/sbin/nft")
    yield opened
    opened.close()


def test_commands_are_one_transaction(tables: nftables.Nftables) -> None:
    tables.run("add table inet wt\nadd chain inet wt c { type filter hook forward priority 0; }")
    assert "chain c" in nft("list", "ruleset")
    with pytest.raises(WardianError, match=r"Error: .*No such file or directory") as caught:
        tables.run("add table inet wtother\nadd rule inet wt nochain accept")
    assert caught.value.errno == 2
    assert "wtother" not in nft("list", "ruleset")
    listed = tables.query("list chains")
    assert [entry["chain"]["name"] for entry in listed] == ["c"]
    assert tables.query("list tables inet")[0]["table"]["name"] == "wt"
    with pytest.raises(WardianError, match="syntax error"):
        tables.run("add nonsense")
    assert tables.run("list table inet wt").startswith("table inet wt")


def test_many_threads_share_a_context(tables: nftables.Nftables) -> None:
    tables.run("add table ip wt")

    def add(number: int) -> None:
        for one in range(10):
            tables.run(f"add chain ip wt c{number}x{one}")

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables.query("list chains")) == 40


def test_the_generation_rises_with_anybodys_change() -> None:
    generation = nftables.Generation()
    before = generation.read()
    assert generation.read() == before
    nft(commands="add table ip wt\n")
    assert generation.read() > before
    generation.close()


def test_no_descriptor_is_left(route: netlink.Netlink) -> None:
    before = leaks.descriptors()
    for _ in range(3):
        inside, inner = netns.create(netlink.Netlink)
        inner.close()
        os.close(inside)
        nftables.LibraryNftables().close()
        nftables.Generation().close()
    assert not leaks.descriptors() - before
    assert socket.if_nameindex()


def test_nftables_opens_though_a_thousand_descriptors_are_in_use() -> None:
    """libnftables waits by select(2), and glibc ends a process that asks it for descriptor 1024."""
    nftables.open_nftables().close()  # as an engine does at its start
    with contextlib.ExitStack() as held:
        while (descriptor := os.open("/dev/null", os.O_RDONLY)) < 1100:
            held.callback(os.close, descriptor)
        held.callback(os.close, descriptor)
        for _ in range(3):
            nft = nftables.open_nftables()
            assert "table" not in nft.run("list tables")
            nft.close()
