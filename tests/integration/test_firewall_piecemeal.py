"""One network or port that the kernel refuses: an engine starts all the same, and all others have their rules."""

import asyncio
import ipaddress
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import needs
from own_host import nft, own_host
from wardian.errors import UNAVAILABLE, WardianError
from wardian.home import make_home
from wardian.network.firewall import BACKENDS
from wardian.network.hostside import HostSide
from wardian.network.values import NetworkConfig, PortRule, Subnet


def network(name: str, link: str, subnet: str) -> NetworkConfig:
    net = ipaddress.ip_network(subnet)
    return NetworkConfig(name * 8, name, "bridge", "", (Subnet(net, gateway=net[1]),), link=link)


DEFAULT = network("bridge", "wtpm0", "172.30.1.0/24")
GOOD = network("good", "wtpm1", "172.30.2.0/24")
UNNAMEABLE = network("unnameable", "wtpm*2", "172.30.3.0/24")  # a pattern in the rules' text
OVERLAPPING = network("overlapping", "wtpm3", "172.30.0.0/16")
PORTS = [PortRule("tcp", "0.0.0.0", 8000 + n, "172.30.1.2", 80, "wtpm0") for n in range(5)]
BAD = PORTS[0]._replace(host_port=70000)
OF_GOOD = PortRule("tcp", "0.0.0.0", 8100, "172.30.2.2", 80, "wtpm1")


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        yield


def state(backend: str) -> str:
    """All rules of ours, in no order: elements of a set are listed as they hash."""
    if backend == "nftables":
        text = nft("-s", "list", "table", "inet", "wardian-wtpm0").replace(", ", "\n").replace("{ ", "\n")
        lines = [line.strip(" \t}") for line in text.splitlines()]
        return "\n".join(sorted(line for line in lines if line not in ("", "elements =")))
    lines = []
    for save in map(needs.program, ("iptables-save", "ip6tables-save")):
        saved = subprocess.run([save], capture_output=True, text=True, check=True, timeout=20).stdout
        lines += [line for line in saved.splitlines() if line.startswith("-A") and "wardian: wtpm0" in line]
    return "\n".join(sorted(lines))


def settled(tmp_path: Path, backend: str, networks: list[NetworkConfig], ports: list[PortRule]) -> str:
    """What the kernel holds after an engine's start."""
    if backend == "iptables":
        needs.program("iptables-restore")
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"), bridge="wtpm0", network_backend=backend)

    async def start() -> str:
        side = HostSide(home)
        await side.start()
        try:
            await side.settle(networks, [], ports, {})
            return state(backend)
        finally:
            await side.stop(networks)

    return asyncio.run(start())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_port_that_is_refused_costs_no_other(tmp_path: Path, backend: str) -> None:
    found = settled(tmp_path, backend, [DEFAULT, GOOD], [*PORTS[:3], BAD, *PORTS[3:], OF_GOOD])
    assert found == settled(tmp_path, backend, [DEFAULT, GOOD], [*PORTS, OF_GOOD])
    assert all(str(port.host_port) in found for port in (*PORTS, OF_GOOD))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_network_that_is_refused_costs_no_other(tmp_path: Path, backend: str) -> None:
    of_bad = OF_GOOD._replace(host_port=8200, address="172.30.3.2", link=UNNAMEABLE.link)
    found = settled(tmp_path, backend, [DEFAULT, UNNAMEABLE, GOOD], [of_bad, *PORTS, OF_GOOD])
    assert found == settled(tmp_path, backend, [DEFAULT, GOOD], [*PORTS, OF_GOOD])
    assert "172.30.2.0/24" in found and "8100" in found


def test_a_network_that_overlaps_another_is_closed(tmp_path: Path) -> None:
    """Left out it would be open: what neither comes from nor goes to a link of ours is not judged."""
    found = settled(tmp_path, "nftables", [DEFAULT, OVERLAPPING], PORTS)
    closed = OVERLAPPING._replace(subnets=(), internal=True)
    assert found == settled(tmp_path, "nftables", [DEFAULT, closed], PORTS)
    assert "172.30.1.0/24" in found and "8004" in found


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_network_that_was_refused_opens_when_it_can(tmp_path: Path, backend: str) -> None:
    """nftables alone refuses subnets that overlap; a link that no rule can name is refused by both."""
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"), bridge="wtpm0", network_backend=backend)
    away = DEFAULT._replace(subnets=network("bridge", "wtpm0", "172.29.1.0/24").subnets)
    wide_port = OF_GOOD._replace(host_port=8300, address="172.30.9.2", link=OVERLAPPING.link)

    async def story() -> tuple[str, str]:
        side = HostSide(home)
        await side.start()
        try:
            await side.settle([away, GOOD, OVERLAPPING, UNNAMEABLE], [], [wide_port], {})
            for refused in {"nftables": (OVERLAPPING, UNNAMEABLE), "iptables": (UNNAMEABLE,)}[backend]:
                with pytest.raises(WardianError, match=f"network {refused.name} is closed") as caught:
                    await side.open_again(refused, [wide_port])
                assert caught.value.kind == UNAVAILABLE
            await side.remove(GOOD)
            await side.open_again(OVERLAPPING, [wide_port])
            return state(backend), str(side._closed)
        finally:
            await side.stop([away, OVERLAPPING])

    found, closed = asyncio.run(story())
    assert "8300" in found and closed == str({UNNAMEABLE.link})
    if backend == "nftables":
        assert found == settled(tmp_path, backend, [away, OVERLAPPING], [wide_port])
