"""Drivers and endpoints on a host of their own, with `ip -j` as the oracle: what is planned is what the kernel has."""

import asyncio
import ipaddress
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

import leaks
import needs
from own_host import ip, own_host
from wardian.errors import CONFLICT, INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel import netlink, netns
from wardian.network.announcing import Announcement, Announcer
from wardian.network.plumbing import Placed, Plumbed, Plumbing
from wardian.network.values import Endpoint, EndpointWant, NetworkConfig, Subnet

BRIDGE = "com.docker.network.bridge."
BOTH = frozenset({4, 6})


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        yield


@asynccontextmanager
async def plumbing() -> AsyncIterator[Plumbing]:
    with ThreadPoolExecutor(1) as executor:
        made = Plumbing()
        await made.start(executor)
        try:
            yield made
        finally:
            await asyncio.get_running_loop().run_in_executor(executor, lambda: None)  # jobs end first, as an engine's
            await made.close()


def story(told: Callable[[Plumbing], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with plumbing() as made:
            await told(made)

    asyncio.run(whole())


def network(number: int, *, v4: bool = True, v6: bool = False, link: str = "", **more: Any) -> NetworkConfig:
    subnets = []
    if v4:
        subnet = ipaddress.IPv4Network(f"10.{number}.0.0/24")
        subnets.append(Subnet(subnet, subnet.network_address + 1))
    if v6:
        subnet6 = ipaddress.IPv6Network(f"fd00:{number}::/64")
        subnets.append(Subnet(subnet6, subnet6.network_address + 1))
    identity = f"{number:02x}" * 32
    config = NetworkConfig(
        identity, f"net{number}", "bridge", "", tuple(subnets), link=link or f"br-{identity[:12]}", enable_ipv4=v4,
        enable_ipv6=v6,
    )  # fmt: skip
    return config._replace(**more)


def endpoint(config: NetworkConfig, number: int, interface: str = "eth0", **more: Any) -> Endpoint:
    """The place `number` of a network: addresses, MAC and name follow from it."""
    v4, v6 = config.v4, config.v6
    made = Endpoint(
        f"{number:02x}{config.id[:2]}" * 16,
        f"sandbox{number}",
        config,
        EndpointWant(config.id),
        interface,
        f"02:42:0a:{config.id[:2]}:00:{number:02x}",
        ipv4=str(v4.subnet.network_address + number) if v4 else "",
        prefix4=v4.subnet.prefixlen if v4 else 0,
        gateway4=str(v4.gateway) if v4 and v4.gateway else "",
        ipv6=str(v6.subnet.network_address + number) if v6 else "",
        prefix6=v6.subnet.prefixlen if v6 else 0,
        gateway6=str(v6.gateway) if v6 and v6.gateway else "",
    )
    return made._replace(**more)


def inside(netns_fd: int, *arguments: str) -> Any:
    return netns.run_inside(netns_fd, lambda: ip(*arguments))


def link_of(netns_fd: int, name: str) -> Any:
    (seen,) = inside(netns_fd, "address", "show", name)
    return seen


def addresses(seen: Any) -> dict[str, dict[str, Any]]:
    return {f"{info['local']}/{info['prefixlen']}": info for info in seen["addr_info"]}


def global_addresses(seen: Any) -> set[str]:
    return {text for text, info in addresses(seen).items() if info["scope"] != "link"}


def lasting(seen: Any) -> dict[str, Any]:
    """Of each link what is made so. The kernel says late whether it carries anything, and finds that its own link-local
    address is nobody else's."""
    passing = {"flags", "operstate", "addr_info"}
    return {
        one["ifname"]: {key: value for key, value in one.items() if key not in passing} | {"own": global_addresses(one)}
        for one in seen
    }


def default_routes(netns_fd: int) -> dict[int, tuple[str, str]]:
    """The default routes by family: gateway and device."""
    found = {}
    for family in (4, 6):
        for route in inside(netns_fd, f"-{family}", "route", "show", "default"):
            assert family not in found, "one default route a family"
            found[family] = (route.get("gateway", ""), route["dev"])
    return found


def port_of(netns_fd: int, name: str = "eth0") -> Any:
    """The host's end of a veth inside, in detail."""
    (seen,) = inside(netns_fd, "link", "show", name)
    (port,) = [one for one in ip("-d", "link") if one["ifindex"] == seen["link_index"]]
    return port


def ports_of(config: NetworkConfig) -> list[str]:
    return [one["ifname"] for one in ip("link") if one.get("master") == config.link]


def reaches(netns_fd: int, address: str, seconds: float = 1) -> bool:
    """Whether a datagram from inside is answered by the closed port of `address` (ECONNREFUSED: it was heard)."""

    def ask() -> bool:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asker:
            asker.settimeout(seconds)
            try:
                asker.connect((address, 9))
                asker.send(b"?")
                asker.recv(1)
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
            return True

    return netns.run_inside(netns_fd, ask)


def sysctl(name: str) -> str | None:
    return netns.read_sysctl(name)


def inside_sysctl(netns_fd: int, name: str) -> str | None:
    return netns.run_inside(netns_fd, lambda: netns.read_sysctl(name))


async def attached(made: Plumbing, *endpoints: Endpoint, published: bool = False) -> Plumbed:
    """The first one has the default routes."""
    placed = [Placed(one, BOTH if one is endpoints[0] else frozenset(), published) for one in endpoints]
    return await made.attach(placed)


def let_go(plumbed: Plumbed) -> None:
    os.close(plumbed.netns_fd)
    if plumbed.names is not None:
        plumbed.names.close()


@pytest.mark.parametrize("driver", ["bridge", "macvlan", "ipvlan", "host", "null"])
def test_every_driver_keeps_the_contract(parent: int, driver: str) -> None:
    if driver == "ipvlan" and not has_kind("ipvlan"):
        needs.kernel("needs a kernel with ipvlan")

    async def told(made: Plumbing) -> None:
        link = {"bridge": "", "macvlan": "up0", "ipvlan": "up0"}.get(driver, "none")
        config = network(5, driver=driver, link=link)
        before = [one["ifname"] for one in ip("link") if not one["ifname"].startswith("vethw")]
        made.check(config)
        assert made.driver(driver).name == driver
        for keep in (False, True, False):
            await made.ensure(config, keep)
        assert not await made.mend(config)
        for place in (endpoint(config, 2), endpoint(config, 3)):
            steps = made.driver(driver).endpoint_steps(place, BOTH)
            assert all(step.describe() and step.kind in ("link", "address", "route", "sysctl") for step in steps)
            assert steps == made.driver(driver).endpoint_steps(place, BOTH)
        rules = made.rules(config)
        assert (rules is not None) == (driver == "bridge")
        for _ in range(2):
            await made.remove(config)
        assert [one["ifname"] for one in ip("link") if not one["ifname"].startswith("vethw")] == before

    story(told)


# ---- bridges ----


def test_a_bridge_is_as_it_was_asked_for() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1, v6=True)
        await made.ensure(config)
        (seen,) = ip("-d", "address", "show", "br-010101010101")
        assert seen["linkinfo"]["info_kind"] == "bridge"
        assert {"10.1.0.1/24", "fd00:1::1/64"} == global_addresses(seen)
        assert not any(info.get("tentative") for info in seen["addr_info"] if info["scope"] == "global")
        assert sysctl(f"ipv6/conf/{config.link}/accept_ra") == "0"
        assert sysctl(f"ipv4/conf/{config.link}/route_localnet") == "1"
        assert sysctl("ipv4/conf/lo/route_localnet") == "0" == sysctl("ipv4/conf/all/route_localnet")
        before = lasting(ip("address", "show", config.link))
        await made.ensure(config, keep=True)
        assert lasting(ip("address", "show", config.link)) == before
        await made.remove(config)
        assert config.link not in [one["ifname"] for one in ip("link")]

    story(told)


def test_an_ipv4_network_has_no_ipv6_on_either_side() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1)
        await made.ensure(config)
        plumbed = await attached(made, endpoint(config, 2))
        (bridge,) = ip("address", "show", config.link)
        assert [info["family"] for info in bridge["addr_info"]] == ["inet"]
        assert set(addresses(link_of(plumbed.netns_fd, "eth0"))) == {"10.1.0.2/24"}
        (port,) = ip("address", "show", port_of(plumbed.netns_fd)["ifname"])
        assert port["addr_info"] == []
        assert sysctl("ipv6/conf/all/forwarding") == "0"
        assert "::1/128" in addresses(link_of(plumbed.netns_fd, "lo"))
        let_go(plumbed)

    story(told)


@pytest.mark.parametrize("v4", [True, False], ids=["both", "ipv6 alone"])
def test_ipv6_endpoints_can_be_used_at_once_and_reach_each_other(v4: bool) -> None:
    async def told(made: Plumbing) -> None:
        config = network(1, v4=v4, v6=True)
        await made.ensure(config)
        one = await attached(made, endpoint(config, 2))
        two = await attached(made, endpoint(config, 3))
        seen = link_of(one.netns_fd, "eth0")
        assert global_addresses(seen) == {"fd00:1::2/64"} | ({"10.1.0.2/24"} if v4 else set())
        assert not any(info.get("tentative") for info in seen["addr_info"] if info["scope"] == "global")
        # The link-local address follows from the MAC that it has now, not from the one that the pool gave it.
        assert "fe80::42:aff:fe01:2/64" in addresses(seen)
        assert inside(one.netns_fd, "-6", "route", "get", "fd00:1::2")[0]["type"] == "local"
        assert inside_sysctl(one.netns_fd, "ipv6/conf/eth0/accept_ra") == "0"
        assert default_routes(one.netns_fd)[6] == ("fd00:1::1", "eth0")
        assert (4 in default_routes(one.netns_fd)) == v4
        assert reaches(one.netns_fd, "fd00:1::3")
        assert reaches(one.netns_fd, "fd00:1::1")
        assert reaches(two.netns_fd, "10.1.0.2") == v4
        for plumbed in (one, two):
            let_go(plumbed)

    story(told)


def test_ipv6_forwarding_does_not_cost_the_host_its_router() -> None:
    async def told(made: Plumbing) -> None:
        for name in ("up0", "up1"):
            with netlink.Netlink() as nl:
                nl.send([netlink.new_bridge(name, "02:00:00:00:00:01")])
        netns.write_sysctl("ipv6/conf/up1/accept_ra", "0")
        await made.ensure(network(1))
        assert sysctl("ipv6/conf/up0/accept_ra") == "1"
        await made.ensure(network(2, v6=True, internal=True))
        assert sysctl("ipv6/conf/all/forwarding") == "0"
        await made.ensure(network(3, v6=True))
        assert sysctl("ipv6/conf/all/forwarding") == "1"
        assert (sysctl("ipv6/conf/up0/accept_ra"), sysctl("ipv6/conf/up1/accept_ra")) == ("2", "0")

    story(told)


def test_containers_of_a_network_without_icc_reach_the_host_alone() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1, v6=True, options={BRIDGE + "enable_icc": "false"})
        await made.ensure(config)
        one, two = await attached(made, endpoint(config, 2)), await attached(made, endpoint(config, 3))
        assert port_of(one.netns_fd)["linkinfo"]["info_slave_data"]["isolated"] is True
        for address in ("10.1.0.3", "fd00:1::3"):
            assert not reaches(one.netns_fd, address, 0.3)
        for address in ("10.1.0.1", "fd00:1::1"):
            assert reaches(one.netns_fd, address)
        for plumbed in (one, two):
            let_go(plumbed)

    story(told)


def test_a_published_endpoint_gets_the_hairpin() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1)
        await made.ensure(config)
        one = await attached(made, endpoint(config, 2), published=True)
        two = await attached(made, endpoint(config, 3))
        assert port_of(one.netns_fd)["linkinfo"]["info_slave_data"]["hairpin"] is True
        assert port_of(two.netns_fd)["linkinfo"]["info_slave_data"]["hairpin"] is False
        for plumbed in (one, two):
            let_go(plumbed)

    story(told)


def test_mtu_and_name_of_the_interface() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1, options={"com.docker.network.driver.mtu": "1400"})
        await made.ensure(config)
        plumbed = await attached(made, endpoint(config, 2, interface="web0"))
        seen = link_of(plumbed.netns_fd, "web0")
        assert [one["ifname"] for one in inside(plumbed.netns_fd, "link")] == ["lo", "web0"]
        assert (seen["mtu"], port_of(plumbed.netns_fd, "web0")["mtu"], ip("link", "show", config.link)[0]["mtu"]) == (
            1400,
            1400,
            1400,
        )
        assert reaches(plumbed.netns_fd, "10.1.0.1")
        let_go(plumbed)

    story(told)


def test_a_sandbox_on_three_networks_has_a_link_for_each_and_one_way_out() -> None:
    async def told(made: Plumbing) -> None:
        configs = [network(1), network(2, v6=True), network(3, internal=True)]
        for config in configs:
            await made.ensure(config)
        places = [endpoint(config, 2, f"eth{number}") for number, config in enumerate(configs)]
        placed = [Placed(places[0]), Placed(places[1], BOTH), Placed(places[2], BOTH)]
        plumbed = await made.attach(placed)
        assert [one["ifname"] for one in inside(plumbed.netns_fd, "link")] == ["lo", "eth0", "eth1", "eth2"]
        assert default_routes(plumbed.netns_fd) == {4: ("10.2.0.1", "eth1"), 6: ("fd00:2::1", "eth1")}
        for address in ("10.1.0.1", "10.2.0.1", "10.3.0.1", "fd00:2::1"):
            assert reaches(plumbed.netns_fd, address)
        for number, config in enumerate(configs):
            assert port_of(plumbed.netns_fd, f"eth{number}")["master"] == config.link
        assert all(done.nanoseconds > 0 and done.description for done in plumbed.steps)
        let_go(plumbed)

    story(told)


def test_a_living_sandbox_is_connected_and_disconnected() -> None:
    async def told(made: Plumbing) -> None:
        first, second = network(1), network(2, v6=True)
        for config in (first, second):
            await made.ensure(config)
        plumbed = await attached(made, endpoint(first, 2))
        there = endpoint(second, 2, "eth1")
        done = await made.connect(Placed(there, BOTH), plumbed.netns_fd)
        assert any("veth" in one.description for one in done)
        assert link_of(plumbed.netns_fd, "eth1")["address"] == there.mac
        (port,) = ip("address", "show", port_of(plumbed.netns_fd, "eth1")["ifname"])
        assert port["addr_info"] == []
        assert reaches(plumbed.netns_fd, "10.2.0.1") and reaches(plumbed.netns_fd, "fd00:2::1")
        assert default_routes(plumbed.netns_fd) == {4: ("10.2.0.1", "eth1"), 6: ("fd00:2::1", "eth1")}
        await made.disconnect(there, plumbed.netns_fd, then=[Placed(endpoint(first, 2), BOTH)])
        assert [one["ifname"] for one in inside(plumbed.netns_fd, "link")] == ["lo", "eth0"]
        assert default_routes(plumbed.netns_fd) == {4: ("10.1.0.1", "eth0")}
        assert ports_of(second) == []
        let_go(plumbed)

    story(told)


def test_a_connection_that_fails_leaves_nothing() -> None:
    async def told(made: Plumbing) -> None:
        first, second = network(1), network(2)
        for config in (first, second):
            await made.ensure(config)
        plumbed = await attached(made, endpoint(first, 2))
        before = ports_of(second), lasting(inside(plumbed.netns_fd, "address"))
        bad = endpoint(second, 2, "eth1", want=EndpointWant(second.id, driver_opts={
            "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.no_such_thing=1"}))  # fmt: skip
        with pytest.raises(WardianError, match="no such sysctl"):
            await made.connect(Placed(bad), plumbed.netns_fd)
        with pytest.raises(WardianError, match="eth0 is there already"):
            await made.connect(Placed(endpoint(second, 2, "eth0")), plumbed.netns_fd)
        assert ports_of(second) == before[0] == []
        assert lasting(inside(plumbed.netns_fd, "address")) == before[1]
        let_go(plumbed)

    story(told)


def test_an_endpoint_has_the_sysctls_that_it_asks_for() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1)
        await made.ensure(config)
        asked = {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"}
        plumbed = await attached(made, endpoint(config, 2, want=EndpointWant(config.id, driver_opts=asked)))
        assert inside_sysctl(plumbed.netns_fd, "ipv4/conf/eth0/log_martians") == "1"
        let_go(plumbed)

    story(told)


def test_a_deleted_bridge_comes_back_with_its_ports() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1, options={BRIDGE + "enable_icc": "false"})
        await made.ensure(config)
        living = await attached(made, endpoint(config, 2))
        subprocess.run(["ip", "link", "delete", config.link], check=True)
        later = await attached(made, endpoint(config, 3))
        assert port_of(living.netns_fd)["master"] == config.link
        assert port_of(living.netns_fd)["linkinfo"]["info_slave_data"]["isolated"] is True
        assert reaches(living.netns_fd, "10.1.0.1") and reaches(later.netns_fd, "10.1.0.1")
        for plumbed in (living, later):
            let_go(plumbed)

    story(told)


def test_a_bridge_of_somebody_else_is_used_and_left() -> None:
    async def told(made: Plumbing) -> None:
        with netlink.Netlink() as nl:
            nl.send([netlink.new_bridge("theirs", "02:00:00:00:00:01")])
            index = ip("link", "show", "theirs")[0]["ifindex"]
            nl.send([netlink.new_address(index, "theirs", "10.9.9.9", 24)])
        config = network(1, link="theirs")
        await made.ensure(config)
        assert global_addresses(ip("address", "show", "theirs")[0]) == {"10.9.9.9/24", "10.1.0.1/24"}
        await made.remove(config)
        assert global_addresses(ip("address", "show", "theirs")[0]) == {"10.9.9.9/24"}

    story(told)


def test_a_bridge_of_somebody_else_keeps_a_gateways_address_that_it_had() -> None:
    async def told(made: Plumbing) -> None:
        with netlink.Netlink() as nl:
            nl.send([netlink.new_bridge("theirs", "02:00:00:00:00:01")])
            index = ip("link", "show", "theirs")[0]["ifindex"]
            nl.send([netlink.new_address(index, "theirs", "10.1.0.1", 24)])
        config = network(1, v6=True, link="theirs")
        await made.ensure(config)
        assert global_addresses(ip("address", "show", "theirs")[0]) == {"10.1.0.1/24", "fd00:1::1/64"}
        async with plumbing() as later:
            await later.remove(config)
        assert global_addresses(ip("address", "show", "theirs")[0]) == {"10.1.0.1/24"}, "an engine later, too"

    story(told)


def test_a_name_that_is_no_bridge_or_another_networks_is_refused() -> None:
    async def told(made: Plumbing) -> None:
        await made.ensure(network(1, link="same"))
        for link in ("lo", "same"):
            with pytest.raises(WardianError) as refused:
                await made.ensure(network(2, link=link))
            assert refused.value.kind == CONFLICT

    story(told)


def test_a_bridge_that_cannot_be_completed_goes_again() -> None:
    async def told(made: Plumbing) -> None:
        bad = network(1, options={"com.docker.network.driver.mtu": "9"})
        with pytest.raises(WardianError, match="MTU"):
            await made.ensure(bad)
        assert bad.link not in [one["ifname"] for one in ip("link")]

    story(told)


def test_modes_without_a_gateway_on_the_bridge() -> None:
    async def told(made: Plumbing) -> None:
        isolated = {BRIDGE + "gateway_mode_ipv4": "isolated", BRIDGE + "gateway_mode_ipv6": "isolated"}
        await made.ensure(network(1, v6=True, internal=True, options=isolated))
        await made.ensure(network(2, options={BRIDGE + "inhibit_ipv4": "true"}))
        await made.ensure(network(3, options={BRIDGE + "gateway_mode_ipv4": "routed"}))
        assert global_addresses(ip("address", "show", "br-010101010101")[0]) == set()
        assert global_addresses(ip("address", "show", "br-020202020202")[0]) == set()
        assert sysctl("ipv4/conf/br-030303030303/route_localnet") == "0"

    story(told)


def test_an_address_that_is_used_again_is_announced() -> None:
    """The host's neighbour table still has the former owner's MAC: the announcement corrects it, in both families.

    What the host knows is written here, not learned: what it learns it forgets when the bridge's last port goes
    (neigh_carrier_down), and asks for again after five seconds (arp(7), delay_first_probe_time).
    """

    async def told(made: Plumbing) -> None:
        config = network(1, v6=True)
        await made.ensure(config)
        stays = await attached(made, endpoint(config, 3))
        assert reaches(stays.netns_fd, "10.1.0.1") and reaches(stays.netns_fd, "fd00:1::1")
        for address in ("10.1.0.2", "fd00:1::2"):
            former = ("to", address, "lladdr", "02:42:0a:01:00:02", "nud", "stale")
            subprocess.run(["ip", "neigh", "replace", *former, "dev", config.link], check=True)
        again = await attached(made, endpoint(config, 2, id="9901" * 16, mac="02:42:99:99:99:99"))

        def corrected() -> bool:
            told = {one["dst"]: one.get("lladdr") for one in ip("neigh", "show", "dev", config.link)}
            return told.get("10.1.0.2") == told.get("fd00:1::2") == "02:42:99:99:99:99"

        deadline = time.monotonic() + 10
        while not corrected() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert corrected(), ip("neigh", "show", "dev", config.link)
        let_go(again)
        let_go(stays)

    story(told)


def test_options_that_would_do_nothing_are_refused() -> None:
    async def told(made: Plumbing) -> None:
        with pytest.raises(WardianError) as refused:
            made.check(network(1, options={BRIDGE + "trusted_host_interfaces": "eth0"}))
        assert refused.value.kind == NOT_IMPLEMENTED
        with pytest.raises(WardianError, match="one default bridge"):
            made.check(network(1, options={BRIDGE + "default_bridge": "true"}))

    story(told)


# ---- links on a parent ----


@pytest.fixture
def parent() -> Iterator[int]:
    """up0, a link of the host's; the other end stands in a neighbour's namespace, as 10.5.0.1 and fd00:5::1."""
    neighbour, inner = netns.create(netlink.Netlink)
    with netlink.Netlink() as nl:
        nl.send([netlink.new_veth("up0", 0, "far0", neighbour)])
    far = inner.link("far0")
    assert far is not None
    inner.send(
        [
            netlink.link_up(far.ifindex, "far0"),
            netlink.new_address(far.ifindex, "far0", "10.5.0.1", 24),
            netlink.new_address(far.ifindex, "far0", "fd00:5::1", 64),
        ]
    )
    yield neighbour
    inner.close()
    os.close(neighbour)


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa"])
def test_a_macvlan_container_stands_in_the_parents_network(parent: int, mode: str) -> None:
    async def told(made: Plumbing) -> None:
        config = network(5, v6=True, driver="macvlan", link="up0", options={"parent": "up0", "macvlan_mode": mode})
        made.check(config)
        assert made.rules(config) is None
        await made.ensure(config)
        one, two = await attached(made, endpoint(config, 2)), await attached(made, endpoint(config, 3))
        (seen,) = inside(one.netns_fd, "-d", "address", "show", "eth0")
        assert seen["linkinfo"]["info_kind"] == "macvlan"
        assert seen["linkinfo"]["info_data"]["mode"] == mode
        assert (seen["address"], global_addresses(seen)) == ("02:42:0a:05:00:02", {"10.5.0.2/24", "fd00:5::2/64"})
        assert [link["ifname"] for link in inside(one.netns_fd, "link")] == ["lo", "eth0"]
        assert default_routes(one.netns_fd) == {4: ("10.5.0.1", "eth0"), 6: ("fd00:5::1", "eth0")}
        assert reaches(one.netns_fd, "10.5.0.1") and reaches(one.netns_fd, "fd00:5::1")
        assert reaches(one.netns_fd, "10.5.0.3", 0.3) == (mode == "bridge")
        for plumbed in (one, two):
            let_go(plumbed)
        await made.remove(config)
        assert ip("link", "show", "up0")

    story(told)


def test_macvlan_on_ipv4_alone_and_connected_while_living(parent: int) -> None:
    async def told(made: Plumbing) -> None:
        first, second = network(1), network(5, driver="macvlan", link="up0", options={"parent": "up0"})
        for config in (first, second):
            await made.ensure(config)
        plumbed = await attached(made, endpoint(first, 2))
        there = endpoint(second, 2, "eth1")
        await made.connect(Placed(there), plumbed.netns_fd)
        assert set(addresses(link_of(plumbed.netns_fd, "eth1"))) == {"10.5.0.2/24"}
        assert reaches(plumbed.netns_fd, "10.5.0.1")
        assert default_routes(plumbed.netns_fd) == {4: ("10.1.0.1", "eth0")}
        await made.disconnect(there, plumbed.netns_fd)
        assert [one["ifname"] for one in inside(plumbed.netns_fd, "link")] == ["lo", "eth0"]
        let_go(plumbed)

    story(told)


def test_parents_that_cannot_be(parent: int) -> None:
    async def told(made: Plumbing) -> None:
        with pytest.raises(WardianError, match="loopback interface is not a valid macvlan parent link"):
            made.check(network(5, driver="macvlan", link="lo"))
        with pytest.raises(WardianError, match="does not exist") as refused:
            await made.ensure(network(5, driver="macvlan", link="nothere"))
        assert refused.value.kind == INVALID
        other = network(6, driver="macvlan", link="up0", options={"macvlan_mode": "passthru"})
        with pytest.raises(WardianError, match="in mode passthru"):
            made.check(network(5, driver="macvlan", link="up0"), [other])
        other = network(6, driver="ipvlan", link="up0", options={"ipvlan_mode": "l3"})
        with pytest.raises(WardianError, match="already using parent interface up0"):
            made.check(network(5, driver="ipvlan", link="up0"), [other])

    story(told)


def has_kind(kind: str) -> bool:
    """Whether this kernel has such links."""
    done = subprocess.run(["ip", "link", "add", "probe0", "type", kind], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "link", "delete", "probe0"], capture_output=True, check=False)
    return "Unknown device type" not in done.stderr and "not supported" not in done.stderr


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_an_ipvlan_container_shares_the_parents_mac(parent: int, mode: str) -> None:
    if not has_kind("ipvlan"):
        needs.kernel("needs a kernel with ipvlan")

    async def told(made: Plumbing) -> None:
        config = network(5, v6=True, driver="ipvlan", link="up0", options={"parent": "up0", "ipvlan_mode": mode})
        await made.ensure(config)
        one, two = await attached(made, endpoint(config, 2)), await attached(made, endpoint(config, 3))
        (seen,) = inside(one.netns_fd, "-d", "address", "show", "eth0")
        assert (seen["linkinfo"]["info_kind"], seen["linkinfo"]["info_data"]["mode"]) == ("ipvlan", mode)
        assert seen["address"] == ip("link", "show", "up0")[0]["address"]
        gateways = {4: "10.5.0.1", 6: "fd00:5::1"} if mode == "l2" else {4: "", 6: ""}
        assert default_routes(one.netns_fd) == {family: (via, "eth0") for family, via in gateways.items()}
        assert reaches(one.netns_fd, "10.5.0.3") and reaches(one.netns_fd, "fd00:5::3")
        assert reaches(one.netns_fd, "10.5.0.1") == (mode == "l2")
        for plumbed in (one, two):
            let_go(plumbed)

    story(told)


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_network_without_parent_stays_on_this_host(driver: str) -> None:
    if not has_kind("dummy") or not has_kind(driver):
        needs.kernel(f"needs a kernel with dummy and {driver}")

    async def told(made: Plumbing) -> None:
        config = network(5, driver=driver, link={"macvlan": "dm-", "ipvlan": "di-"}[driver] + "050505050505")
        await made.ensure(config)
        one, two = await attached(made, endpoint(config, 2)), await attached(made, endpoint(config, 3))
        assert reaches(one.netns_fd, "10.5.0.3")
        for plumbed in (one, two):
            let_go(plumbed)
        await made.remove(config)
        assert config.link not in [one["ifname"] for one in ip("link")]

    story(told)


def test_a_vlan_of_a_link_is_made_and_removed(parent: int) -> None:
    if not has_kind("vlan"):
        needs.kernel("needs a kernel with 802.1Q")

    async def told(made: Plumbing) -> None:
        config = network(5, driver="macvlan", link="up0.7")
        await made.ensure(config)
        (seen,) = ip("-d", "link", "show", "up0.7")
        assert (seen["linkinfo"]["info_data"]["id"], seen["link"]) == (7, "up0")
        await made.remove(config)
        assert "up0.7" not in [one["ifname"] for one in ip("link")]

    story(told)


def test_a_kind_of_children_that_the_kernel_has_not_is_named(parent: int) -> None:
    async def told(made: Plumbing) -> None:
        here = has_kind("ipvlan")
        with nullcontext() if here else pytest.raises(WardianError, match="no links of the kind ipvlan"):
            await made.ensure(network(5, driver="ipvlan", link="up0"))

    story(told)


def test_a_kind_of_links_that_the_kernel_has_not_is_named() -> None:
    async def told(made: Plumbing) -> None:
        config, here = network(5, driver="macvlan", link="dm-050505050505"), has_kind("dummy")
        with nullcontext() if here else pytest.raises(WardianError, match="no links of the kind dummy"):
            await made.ensure(config)

    story(told)


# ---- pools and what is left ----


def test_the_default_bridges_namespaces_are_ports_before_they_are_taken() -> None:
    async def told(made: Plumbing) -> None:
        config = network(1, options={BRIDGE + "default_bridge": "true"}, link="wtd0")
        await made.ensure(config)
        plumbed = await attached(made, endpoint(config, 2))
        assert not any(done.description.startswith("join") for done in plumbed.steps)
        assert reaches(plumbed.netns_fd, "10.1.0.1")
        subprocess.run(["ip", "link", "delete", config.link], check=True)
        for number in range(3, 12):  # more than stood ready for the former bridge
            later = await attached(made, endpoint(config, number))
            assert reaches(later.netns_fd, "10.1.0.1")
            let_go(later)
        assert reaches(plumbed.netns_fd, "10.1.0.1")
        let_go(plumbed)

    story(told)


def test_twenty_at_once_and_then_nothing_is_left() -> None:
    before = ip("link"), leaks.descriptors()

    async def told(made: Plumbing) -> None:
        config = network(1, v6=True)
        await made.ensure(config)
        all_of_them = await asyncio.gather(*(attached(made, endpoint(config, number)) for number in range(2, 22)))
        for number, plumbed in enumerate(all_of_them, start=2):
            assert global_addresses(link_of(plumbed.netns_fd, "eth0")) == {
                f"10.1.0.{number}/24",
                f"fd00:1::{number:x}/64",
            }
            assert reaches(plumbed.netns_fd, "10.1.0.1")
            let_go(plumbed)
        await made.remove(config)

    story(told)
    deadline = time.monotonic() + 5
    while ip("link") != before[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ip("link") == before[0]
    assert not leaks.descriptors() - before[1]


def test_what_cannot_be_announced_any_more_keeps_no_namespace_open() -> None:
    before = leaks.descriptors()
    announcer = Announcer()
    announcer.close()
    own = netns.current()
    with pytest.raises(RuntimeError):
        announcer.send(own, [Announcement("eth0", "02:42:ac:11:00:02", ("172.17.0.2",))])
    os.close(own)
    assert not leaks.descriptors() - before


def test_an_attachment_that_is_given_up_leaves_nothing() -> None:
    before = leaks.descriptors()

    async def told(made: Plumbing) -> None:
        config = network(1)
        await made.ensure(config)
        for wait in (0, 0.0005, 0.001, 0.002):
            task = asyncio.ensure_future(attached(made, endpoint(config, 2)))
            await asyncio.sleep(wait)
            task.cancel()
            try:
                let_go(await task)
            except asyncio.CancelledError:
                pass

    story(told)
    assert not leaks.descriptors() - before


def test_ports_of_bridges_say_whose_they_are_and_join_it_again() -> None:
    """Of all three origins: joined ahead, joined when taken, made while the sandbox lived."""

    async def told(made: Plumbing) -> None:
        default = network(1, options={BRIDGE + "default_bridge": "true"}, link="wtd0")
        other, third = network(2), network(3)
        for config in (default, other, third):
            await made.ensure(config)
        plumbed = await attached(made, endpoint(default, 2)), await attached(made, endpoint(other, 2))
        await made.connect(Placed(endpoint(third, 2, "eth1")), plumbed[0].netns_fd)
        found = [(plumbed[0], "eth0", default), (plumbed[1], "eth0", other), (plumbed[0], "eth1", third)]
        for one, interface, config in found:
            assert port_of(one.netns_fd, interface)["ifalias"] == f"wardian network {config.id[:12]}"
            subprocess.run(["ip", "link", "delete", config.link], check=True)
        for one, interface, config in found:
            assert await made.mend(config)
            assert port_of(one.netns_fd, interface)["master"] == config.link
            assert any(reaches(one.netns_fd, str(config.subnets[0].gateway)) for _ in range(5))
        for one in plumbed:
            let_go(one)

    story(told)
