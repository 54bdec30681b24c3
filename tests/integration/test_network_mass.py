"""Many networks, containers and names at once, and what a thousand runs with ports leave behind: nothing."""

import os
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from own_host import ip, nft
from questions import NOERROR, PTR, A, ask_name
from street import HOST4, IMAGE, NEIGHBOUR4, Box, Street, until

SOAK = [pytest.mark.soak, pytest.mark.timeout(1200)]


class Remains(NamedTuple):
    """What a run could leave on the host and in the engine."""

    links: frozenset[str]
    namespaces: int
    descriptors: int
    rules: str
    addresses: frozenset[str]
    rows: int
    zones: frozenset[str]
    processes: int


def _look(street: Street) -> Remains:
    engine = street.engine
    links = frozenset(link["ifname"] for link in ip("link"))
    held = _descriptors(engine.pid)
    return Remains(
        # The pool's links have other names each time; their number is what counts.
        links=frozenset(link for link in links if not link.startswith("veth")) | {f"{_veths(links)} pairs"},
        namespaces=sum(target.startswith("net:[") for target in held),
        descriptors=len(held),
        rules=nft("-s", "list", "ruleset"),
        addresses=frozenset(one["local"] for link in ip("address") for one in link["addr_info"]),
        rows=_rows(engine.home.database),
        zones=_zones(),
        processes=sum(engine.home.run_root in text for text in _commands()),
    )


def _veths(links: frozenset[str]) -> int:
    return sum(link.startswith("veth") for link in links)


def _descriptors(pid: int) -> list[str]:
    """Without sockets: clients come and go."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if not target.startswith("socket:"):
            found.append(target)
    return found


def _rows(path: str) -> int:
    """Rows of all tables that speak of endpoints or ports."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        about = [name for name in tables if re.search("endpoint|port|address", name)]
        return sum(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in about)
    finally:
        connection.close()


def _zones() -> frozenset[str]:
    """Conntrack zones that have entries (nf_conntrack in proc; an entry itself stays until its time is over)."""
    with open("/proc/thread-self/net/nf_conntrack") as file:
        return frozenset(re.findall(r"zone[a-z-]*=\d+", file.read()))


def _commands() -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                found.append(file.read().replace(b"\0", b" ").decode("utf-8", "replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _run_once(street: Street, number: int, network: str) -> None:
    port = 20000 + number % 1000
    container = street.docker.containers.run(
        IMAGE, ["sleep", "1000"], detach=True, network=network,
        ports={"80/tcp": port, "80/udp": port, "81/tcp": ("127.0.0.1", port + 1000), "82/tcp": None},
    )  # fmt: skip
    try:
        if number % 10 == 0:
            container.reload()
            assert container.attrs["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == str(port)
    finally:
        container.remove(force=True)


@pytest.mark.parametrize("runs", [30, pytest.param(1000, marks=SOAK)])
def test_after_many_runs_with_ports_all_is_as_before(street: Street, runs: int) -> None:
    street.network6("own", "fd00:5:1::/64")
    for number in range(4):  # what is made at the first use
        _run_once(street, number, ("bridge", "own")[number % 2])
    kept = street.run(ports={"80/tcp": 8080})
    street.serve(kept.netns)
    before: list[Remains] = [_look(street)]

    def settled() -> bool:  # the pool fills when the engine is idle
        before.append(_look(street))
        return before[-1] == before[-2]

    assert until(settled, 5, 0.3)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: _run_once(street, number, ("bridge", "own")[number % 2]), range(runs)))
    after: list[Remains] = []

    def as_before() -> bool:
        after.append(_look(street))
        return after[-1] == before[-1]

    assert until(as_before, 5, 0.1), _differences(before[-1], after[-1])
    assert street.ask(HOST4, 8080) == NEIGHBOUR4


def _differences(before: Remains, after: Remains) -> dict[str, Any]:
    pairs = zip(Remains._fields, before, after, strict=True)
    return {name: (was, now) for name, was, now in pairs if was != now}


@pytest.mark.parametrize(
    ("networks", "containers"), [(8, 20), pytest.param(200, 500, marks=SOAK)], ids=["few", "hundreds"]
)
def test_many_networks_and_containers_with_names_that_answer(street: Street, networks: int, containers: int) -> None:
    """Each container is on two networks, under its name and an alias that it shares with others."""
    made = _at_once(lambda number: street.network(f"many{number}"), networks)
    subnets = {network.attrs["IPAM"]["Config"][0]["Subnet"] for network in _reloaded(made)}
    assert len(subnets) == networks

    def start(number: int) -> Box:
        first, second = number % networks, (number + 1) % networks
        aliases = {"aliases": [f"alias{first}"]}
        config = {f"many{first}": street.docker.api.create_endpoint_config(**aliases)}
        box = street.run(name=f"box{number}", network=f"many{first}", networking_config=config)
        made[second].connect(box.container, aliases=[f"alias{second}"])
        return box

    boxes = _at_once(start, containers)
    addresses = [box.networks for box in boxes]

    def names_answer(number: int) -> str:
        network = f"many{(number + 1) % networks}"
        there = [other for other in range(containers) if network in addresses[other]]
        other = there[number % len(there)]
        expected = str(addresses[other][network]["IPAddress"])
        name = ask_name(boxes[number].netns, f"box{other}", A)
        alias = ask_name(boxes[number].netns, f"alias{(number + 1) % networks}", A)
        reverse = ask_name(boxes[number].netns, ".".join(reversed(expected.split("."))) + ".in-addr.arpa", PTR)
        all_there = {str(addresses[one][network]["IPAddress"]) for one in there}
        wrong = []
        if (
            name.code != NOERROR
            or not name.found
            or not set(name.found) <= _shared(addresses[number], addresses[other])
        ):
            wrong.append(f"box{other}: {name}, on one network as {expected}")
        if alias.code != NOERROR or set(alias.found) != all_there:
            wrong.append(f"alias: {alias}, not {all_there}")
        if reverse.code != NOERROR or not any(found.startswith(f"box{other}") for found in reverse.found):
            wrong.append(f"{expected}: {reverse}")
        return "; ".join(wrong)

    assert not [wrong for wrong in _at_once(names_answer, containers) if wrong]
    assert ask_name(boxes[0].netns, "box5" if networks > 6 else "nobody").code != NOERROR, "of a network of others"


def _shared(own: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Addresses of another on the networks that both are on."""
    return {str(other[network]["IPAddress"]) for network in own.keys() & other.keys()}


def _at_once(work: Callable[[int], Any], count: int) -> list[Any]:
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(work, range(count)))


def _reloaded(networks: list[Any]) -> list[Any]:
    for network in networks:
        network.reload()
    return networks
