"""Docker's newest engine and ours on one host: both their containers work, apart from each other, and Docker's rules
are as before when we are gone."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from engines import TestEngine
from own_host import nft
from street import (
    HOST4,
    HOST6,
    NEIGHBOUR4,
    REFUSED,
    SILENT,
    Box,
    Street,
    Unavailable,
    ask,
    ask_all,
    docker_here,
    host_and_neighbour,
    unpack_docker,
    until,
)  # fmt: skip
from wardian.home import Home
from wardian.kernel import netns
from wardian.network.firewall import BACKENDS

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


class Both(NamedTuple):
    docker: Street
    start: Callable[[], Street]  # ours


@pytest.fixture(params=BACKENDS)
def both(request: pytest.FixtureRequest, new_home: Callable[[], Home]) -> Iterator[Both]:
    """A host with a Docker on it, and a way to start ours beside; Docker's containers go last."""
    try:
        unpack_docker()
    except Unavailable as error:
        pytest.skip(str(error))
    engines: list[tuple[Street, TestEngine]] = []
    with host_and_neighbour() as (host, neighbour), docker_here() as url:
        docker = Street(url, host, neighbour, None)

        def start() -> Street:
            engine = TestEngine(new_home()._replace(network_backend=request.param))
            engines.append((Street(engine.url, host, neighbour, engine), engine))
            return engines[-1][0]

        try:
            yield Both(docker, start)
        finally:
            for street, engine in engines:
                _end(street, engine)
            docker.clear()
            docker.docker.close()


def _end(street: Street, engine: TestEngine) -> None:
    street.clear()
    street.docker.close()
    engine.close()


def _rules() -> list[str]:
    """The rule set without counts, and without base chains and tables that hold no rule: iptables keeps its own."""
    text = re.sub(r"packets \d+ bytes \d+", "", nft("list", "ruleset"))
    text = re.sub(r"\tchain \w+ {\n\t\ttype [^\n]*policy accept;\n\t}\n", "", text)
    text = re.sub(r"table \w+ \w+ {\n}\n", "", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _published(street: Street, port: int, network: str = "bridge") -> Box:
    box = street.run(network=network, ports={"80/tcp": port})
    street.serve(box.netns), street.serve(box.netns, 81)
    return box


def _works(street: Street, port: int) -> bool:
    """From outside by both families, and from the host."""
    answers = (
        street.ask(HOST4, port),
        street.ask(HOST6, port),
        ask(street.host, "127.0.0.1", port),
        ask(street.host, "::1", port),
    )
    return not {REFUSED, SILENT} & set(answers) and answers[0] == NEIGHBOUR4


def test_both_engines_containers_work_and_stay_apart(both: Both) -> None:
    theirs = _published(both.docker, 8001)
    netns.write_sysctl("ipv6/conf/all/forwarding", "1")  # else what forbids transit stays beside this Docker's bridge
    before = _rules()
    ours = both.start()
    ours.network6("own", "fd00:5:1::/64")
    mine, second = _published(ours, 8002), _published(ours, 8003, "own")
    world = ours.serve(ours.neighbour)
    for street, port in ((both.docker, 8001), (ours, 8002), (ours, 8003)):
        assert _works(street, port), port
    for box in (theirs, mine, second):
        assert ask(box.netns, NEIGHBOUR4, world.port) == HOST4
    for box in (theirs, mine):
        assert ask(box.netns, HOST4, 8002) not in (REFUSED, SILENT)
    apart = [(mine, theirs.address()), (second, theirs.address()), (theirs, mine.address())]
    apart += [(theirs, second.address("own"))]
    for box, address in apart:
        assert ask_all(box.netns, (address, 80), (address, 81)) == {SILENT}
    ours.neighbour_routes(theirs.address(), mine.address(), second.address("own"))
    wanted = [(address, 81) for address in (theirs.address(), mine.address(), second.address("own"))]
    assert ours.ask_all(*wanted) == {SILENT}
    ours.clear()
    assert ours.engine.terminate() == 0
    assert _rules() == before
    assert _works(both.docker, 8001)
    ours.engine.start()  # the fixture ends it


def test_a_docker_that_restarts_leaves_ours_working(both: Both) -> None:
    """It writes its chains anew, with a policy that drops what is forwarded."""
    ours = both.start()
    _published(ours, 8002)
    assert _works(ours, 8002)
    nft("flush", "chain", "ip", "filter", "DOCKER-USER")
    nft("flush", "chain", "ip", "filter", "FORWARD")
    nft("add", "rule", "ip", "filter", "FORWARD", "counter", "jump", "DOCKER-USER")
    nft("add", "rule", "ip", "filter", "FORWARD", "counter", "jump", "DOCKER-FORWARD")
    assert until(lambda: ours.ask(HOST4, 8002, seconds=0.3) == NEIGHBOUR4, 1.5)
    theirs = _published(both.docker, 8001)
    assert _works(both.docker, 8001)
    assert ask_all(theirs.netns, (HOST4, 8002)) not in ({REFUSED}, {SILENT})
