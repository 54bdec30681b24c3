"""The firewall as an engine serves it, each backend on a street of its own: flushed beneath a running container, named
in info, and what a host's ufw does not keep out is said by create."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

import needs
from engines import TestEngine
from own_host import nft
from street import HOST4, NEIGHBOUR4, REFUSED, SILENT, Street, host_and_neighbour
from wardian.home import Home

UFW = """
table ip filter {
    chain ufw-user-input { tcp dport 22 accept
    }
    chain INPUT {
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        counter jump ufw-user-input
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
    }
}
"""


@pytest.fixture
def served(new_home: Callable[[], Home]) -> Iterator[Callable[..., Street]]:
    """Starts an engine on a street, with rules of somebody else's that stand there before."""
    made: list[Street] = []
    with host_and_neighbour() as (host, neighbour):

        def serve(backend: str, respect: bool = False, rules: str = "") -> Street:
            if backend == "iptables":
                needs.program("iptables-restore")
            nft(commands=rules)
            engine = TestEngine(new_home()._replace(network_backend=backend, respect_host_firewall=respect))
            made.append(Street(engine.url, host, neighbour, engine))
            return made[-1]

        yield serve
        for street in made:
            street.clear()
            street.docker.close()
            street.engine.close()


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_a_flush_beneath_a_running_container_is_mended(served: Callable[..., Street], backend: str) -> None:
    street = served(backend)
    assert street.docker.info()["FirewallBackend"]["Driver"] == backend
    box = street.run(ports={"80/tcp": 8080})
    street.serve(box.netns)
    street.serve(box.netns, 81)
    street.neighbour_routes(box.address())
    assert street.ask(HOST4, 8080) == NEIGHBOUR4, "by the rules: the relay would be seen"
    nft("flush", "ruleset")
    begun = time.monotonic()
    while "8080" not in nft("list", "ruleset"):
        assert time.monotonic() < begun + 1
        time.sleep(0.01)
    time.sleep(0.1)
    assert street.ask(HOST4, 8080) == NEIGHBOUR4
    assert street.ask(box.address(), 81, seconds=0.5) == SILENT


@pytest.mark.parametrize("respect", [False, True], ids=["as Docker", "respecting"])
def test_beside_ufw(served: Callable[..., Street], respect: bool) -> None:
    """As Docker does, published ports pass ufw, and here that is said; or ufw decides."""
    street = served("nftables", respect, UFW)
    body = {"Image": "street:1", "Cmd": ["true"], "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}
    created = street.engine.client.call("POST", "/containers/create", body)
    (said,) = created["Warnings"]
    assert "ufw" in said
    assert ("only when" in said) is respect
    assert any("ip filter FORWARD" in one for one in street.docker.info()["Warnings"])
    street.engine.client.call("DELETE", f"/containers/{created['Id']}")
    box = street.run(ports={"80/tcp": 8080})
    street.serve(box.netns)
    assert street.ask(HOST4, 8080, seconds=1) == (SILENT if respect else NEIGHBOUR4)


def test_an_engine_that_ends_leaves_the_rules_of_others_only(served: Callable[..., Street]) -> None:
    street = served("iptables", rules=UFW)
    street.run(ports={"80/tcp": 8080})
    street.clear()
    street.engine.terminate()
    saved = subprocess.run([needs.program("iptables-save")], capture_output=True, text=True, check=True).stdout
    assert "DOCKER" not in saved
    assert "wardian" not in saved.lower()
    assert "ufw-user-input" in saved
    assert street.ask(HOST4, 8080, seconds=0.5) in (REFUSED, SILENT)
