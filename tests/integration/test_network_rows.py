"""The rows of networks and endpoints when their writer is killed at any moment: nothing is given twice or hangs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker as docker_py
import pytest

from clients_shared import IMAGE
from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.database import Database
from wardian.network import SCHEMA
from wardian.network.state import NetworkRows

WRITER = """
import ipaddress, itertools, sys
from wardian.database import Database
from wardian.network import SCHEMA, EndpointWant
from wardian.network.state import NetworkRows
from wardian.network.values import NetworkConfig, Subnet
rows = NetworkRows(Database(sys.argv[1], [SCHEMA]), "wtrows")
if rows.named("n") is None:
    four = Subnet(ipaddress.ip_network("10.231.0.0/22"), ipaddress.ip_address("10.231.0.1"))
    six = Subnet(ipaddress.ip_network("fd12:3456::/64"), ipaddress.ip_address("fd12:3456::1"))
    rows.add(NetworkConfig("a" * 64, "n", "bridge", "now", (four, six), enable_ipv6=True, link="br-a"))
start = int(sys.argv[2])
for number in itertools.count(start):
    row = rows.allocate(f"s{number}", EndpointWant("a" * 64), "eth0")
    print(row.sandbox, row.ipv4, row.ipv6, flush=True)
    if number % 3 == 0:
        print("-" + row.sandbox, flush=True)
        rows.release(row.sandbox, "a" * 64)
"""


def test_a_writer_that_is_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "wardian.db")
    said: dict[str, tuple[str, str]] = {}
    for turn in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(turn * 10_000)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            said |= _read(writer.stdout.readline(), said)
            time.sleep(0.01 * turn)
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                if line.endswith("\n"):
                    said |= _read(line, said)
        database = Database(path, [SCHEMA])
        rows = NetworkRows(database, "wtrows")
        database.close()
        stored = {row.sandbox: (row.ipv4, row.ipv6) for row in rows.endpoints()}
        assert said.items() <= stored.items(), "what was given is known"
        for family in (0, 1):
            given = [addresses[family] for addresses in stored.values()]
            assert len(given) == len(set(given)), "and given once"
    assert len(said) > 8


def _read(line: str, said: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """A sandbox that is about to be released may be there or not."""
    if line.startswith("-"):
        said.pop(line[1:].strip(), None)
        return {}
    sandbox, ipv4, ipv6 = line.split()
    return {sandbox: (ipv4, ipv6)}


@pytest.fixture
def client(engine: TestEngine) -> Iterator[docker_py.DockerClient]:
    archive = docker_archive({IMAGE: busybox_image()})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    connected = docker_py.DockerClient(base_url=engine.url, timeout=30)
    yield connected
    for network in connected.networks.list(filters={"type": "custom"}):
        network.remove()
    connected.close()


def test_an_engine_that_is_killed_while_it_makes_networks(engine: TestEngine, client: docker_py.DockerClient) -> None:
    """Each is there wholly or not at all: listed, with its link, its subnet its own."""
    told: list[str] = []
    for turn in range(4):
        started = subprocess.Popen(
            [sys.executable, "-c", _MAKER, engine.url, str(turn)], stdout=subprocess.PIPE, text=True
        )
        assert started.stdout is not None
        told.append(started.stdout.readline().strip())
        time.sleep(0.01 * turn)
        engine.kill()
        engine.start()
        told += started.stdout.read().split()
        started.wait(30)
    networks = client.networks.list(filters={"type": "custom"})
    assert set(told) <= {network.name for network in networks}
    subnets = [config["Subnet"] for network in networks for config in network.attrs["IPAM"]["Config"]]
    assert len(subnets) == len(set(subnets))
    links = {name for name in os.listdir("/sys/class/net") if name.startswith("br-")}
    assert {f"br-{network.id[:12]}" for network in networks} <= links
    for network in networks:
        network.remove()
    links = {name for name in os.listdir("/sys/class/net") if name.startswith("br-")}
    assert not {f"br-{network.id[:12]}" for network in networks} & links


_MAKER = """
import sys, docker
client = docker.DockerClient(base_url=sys.argv[1], timeout=10)
for number in range(40):
    client.networks.create(f"t{sys.argv[2]}-{number}", enable_ipv6=True)
    print(f"t{sys.argv[2]}-{number}", flush=True)
"""


def test_who_lives_keeps_its_addresses_when_the_engine_is_killed(
    engine: TestEngine, client: docker_py.DockerClient
) -> None:
    network = client.networks.create("kept", enable_ipv6=True)
    lasting = client.containers.run(IMAGE, ["sleep", "100"], detach=True, network="kept")
    ending = client.containers.run(IMAGE, ["sleep", "100"], detach=True, network="kept")
    network.reload()
    before = network.attrs["Containers"]
    ending.reload()
    engine.kill()
    os.kill(ending.attrs["State"]["Pid"], signal.SIGKILL)
    engine.start()
    network.reload()
    assert network.attrs["Containers"][lasting.id] == before[lasting.id]
    newcomer = client.containers.run(IMAGE, ["sleep", "100"], detach=True, network="kept")
    network.reload()
    now = network.attrs["Containers"]
    assert set(now) == {lasting.id, newcomer.id}
    for family in ("IPv4Address", "IPv6Address"):
        given = [one[family] for one in now.values()]
        assert len(given) == len(set(given))
    for container in (lasting, ending, newcomer):
        container.remove(force=True)
    network.remove()
