"""Attack in time: somebody flushed the rules (a firewalld reload, CVE-2025-54388, CVE-2025-54410; `nft flush ruleset`).

Within a second all of it must be back: isolation as well as the ports that are published.
"""

import os
import socket
import time
from collections.abc import Callable

import pytest

from own_host import nft
from packets import Ears
from street import HOST4, HOST6, NEIGHBOUR4, REFUSED, SILENT, Service, Street, ask, until

WITHIN = 1.0
V6 = "fd00:5:1::/64"


def _flush_all(bridge: str) -> None:
    nft("flush", "ruleset")


def _delete_table(bridge: str) -> None:
    nft("delete", "table", "inet", f"wardian-{bridge}")


def _flush_table(bridge: str) -> None:
    nft("flush", "table", "inet", f"wardian-{bridge}")


def _again_and_again(bridge: str) -> None:
    for _ in range(5):
        nft("flush", "ruleset")
        time.sleep(0.05)


FLUSHES = [_flush_all, _delete_table, _flush_table, _again_and_again]


class Scene:
    """What must hold: a container that publishes, one that does not, and a member of another network."""

    def __init__(self, street: Street) -> None:
        street.engine  # noqa: B018  # a Docker mends nothing: skipped there
        self.street = street
        street.network6("own", V6)
        self.open = street.run(ports={"80/tcp": 8080, "82/tcp": ("127.0.0.1", 8082)})
        self.shut = street.run(network="own", ports={"80/tcp": 8081})
        self.services: list[Service] = [street.serve(self.open.netns), street.serve(self.open.netns, 82)]
        self.secret = street.serve(self.shut.netns, 81)
        street.serve(self.shut.netns)
        street.neighbour_routes(self.shut.address("own"), self.shut.address("own", 6), self.open.address())
        self.rules = self.look()

    def look(self) -> str:
        return nft("-s", "list", "ruleset")

    def mended(self) -> bool:
        return until(lambda: self.look() == self.rules, WITHIN)

    def holds(self) -> None:
        street, shut = self.street, self.shut
        assert street.ask(HOST4, 8080) == NEIGHBOUR4
        assert street.ask(HOST6, 8081) not in (REFUSED, SILENT)
        assert ask(street.host, "127.0.0.1", 8082) not in (REFUSED, SILENT)
        known = len(self.secret.seen)
        wanted = [(address, port) for address in (shut.address("own"), shut.address("own", 6)) for port in (80, 81)]
        assert street.ask_all(*wanted, (self.open.address(), 82)) == {SILENT}
        assert street.ask_all((HOST4, 8082)) <= {REFUSED, SILENT}
        with Ears(shut.netns, "eth0") as ears:
            assert ask(self.open.netns, shut.address("own"), 81, seconds=0.4) == SILENT
            assert not ears.heard(0)
        assert len(self.secret.seen) == known
        assert ask(self.open.netns, NEIGHBOUR4, 4040) == REFUSED, "a container reaches the world"


@pytest.mark.parametrize("flush", FLUSHES)
def test_what_was_flushed_is_back_within_a_second(street: Street, flush: Callable[[str], None]) -> None:
    scene = Scene(street)
    scene.holds()
    flush(street.engine.home.bridge)
    assert scene.mended(), _difference(scene)
    scene.holds()


def _difference(scene: Scene) -> str:
    now = set(scene.look().splitlines())
    return "missing: " + "\n".join(line for line in scene.rules.splitlines() if line not in now)


def test_connections_go_on_over_a_flush(street: Street) -> None:
    scene = Scene(street)
    listener = scene.open.inside(lambda: socket.create_server(("0.0.0.0", 83)))
    with listener:
        extra = street.run(ports={"83/tcp": 8083})
        inner = extra.inside(lambda: socket.create_server(("0.0.0.0", 83)))
        with inner, _connected(street.neighbour, (HOST4, 8083)) as client:
            inner.settimeout(5)
            server, (seen, _) = inner.accept()
            with server:
                assert seen == NEIGHBOUR4
                scene.rules = scene.look()
                nft("flush", "ruleset")
                assert scene.mended()
                client.sendall(b"still here?")
                server.settimeout(5)
                assert server.recv(100) == b"still here?"


def _connected(where: int, address: tuple[str, int]) -> socket.socket:
    from wardian.kernel import netns

    return netns.run_inside(where, lambda: socket.create_connection(address, 5))


def test_what_was_flushed_while_the_engine_was_down_is_back_with_it(street: Street) -> None:
    scene = Scene(street)
    street.engine.kill()
    nft("flush", "ruleset")
    street.engine.start()
    assert scene.mended(), _difference(scene)
    scene.holds()


def test_a_flushing_loop_does_not_eat_the_engine(street: Street) -> None:
    """Mending makes a notification of its own: it must not answer itself."""
    scene = Scene(street)
    nft("flush", "ruleset")
    assert scene.mended()
    before = _ticks(street.engine.pid)
    time.sleep(1)
    assert _ticks(street.engine.pid) - before < 0.2 * os.sysconf("SC_CLK_TCK"), "it rests"


def _ticks(pid: int) -> int:
    """Processor time of a process, in clock ticks (proc_pid_stat(5), utime and stime)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
