"""How long a name takes inside a container, ours beside the newest Docker: asked over UDP from its own namespace.

usage: dns.py [--alone] [-n N] [--gap SECONDS] [--json FILE]

`forwarded` is a name of the world, whose server stands in the neighbour's namespace and answers at once; `its server`
is the same question sent to that server, past who forwards.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rig import Row, interleaved, machine, milliseconds
from streets import Side, streets

from questions import NOERROR, PTR, A, parse, question
from street import NEIGHBOUR4
from wardian.kernel import netns

_EACH = 20  # questions for one sample


class Asker(NamedTuple):
    """Sockets inside a container, towards its resolver and the world's server, and the address that `web` has there."""

    resolver: socket.socket
    server: socket.socket
    web: str


def _asker(side: Side) -> Asker:
    side.network("bench")
    for name in ("web", "client"):
        container = side.create("bench", None, Dns=[NEIGHBOUR4])
        side.engine.call("POST", f"/containers/{container}/rename?name={name}")
        side.engine.start(container)
    inside = side.inside("client")

    def towards(address: str) -> socket.socket:
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.settimeout(5)
        asking.connect((address, 53))
        return asking

    try:
        networks = side.engine.call("GET", "/containers/web/json")["NetworkSettings"]["Networks"]
        resolver, server = netns.run_inside(inside, lambda: (towards("127.0.0.11"), towards(NEIGHBOUR4)))
        return Asker(resolver, server, networks["bench"]["IPAddress"])
    finally:
        os.close(inside)


def ask(asking: socket.socket, name: str, kind: int) -> float:
    """The median milliseconds from a question sent to its answer received."""
    query = question(name, kind)
    answers = []

    def once() -> None:
        asking.send(query)
        answers.append(asking.recv(2000))

    took = statistics.median(milliseconds(once) for _ in range(_EACH))
    if any(parse(answer).code != NOERROR for answer in answers):
        raise RuntimeError(f"{name} was not answered")
    return took


# A process of its own, so that no thread of ours has to hand over the interpreter.
_SERVER = f"""
import socket, struct
serving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
serving.bind(("{NEIGHBOUR4}", 53))
print("ready", flush=True)
record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + bytes([192, 0, 2, 77])
head = struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
while True:
    query, client = serving.recvfrom(2000)
    serving.sendto(query[:2] + head + query[12:] + record, client)
"""


@contextmanager
def _world(side: Side) -> Iterator[None]:
    """A name server at the neighbour that answers everything with one address."""
    command = [sys.executable, "-c", _SERVER]
    server = netns.run_inside(side.neighbour, lambda: subprocess.Popen(command, stdout=subprocess.PIPE))
    with server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield
        finally:
            server.kill()


def measure(docker: bool, count: int, gap: float) -> list[Row]:
    with streets(docker) as sides, contextlib.ExitStack() as closing:
        print(f"{machine()}; gap {gap} s; median ms of {count} × {_EACH}")
        print(f"{'':24}" + "".join(f"{side.engine.name:>10}" for side in sides))
        askers = [_asker(side) for side in sides]
        for side, asker in zip(sides, askers, strict=True):
            closing.enter_context(_world(side))
            closing.callback(asker.resolver.close)
            closing.callback(asker.server.close)
        resolvers = [asker.resolver for asker in askers]
        return [
            _row("a name", [("web", A) for _ in sides], resolvers, count, gap),
            _row("an address", [(_reverse(asker.web), PTR) for asker in askers], resolvers, count, gap),
            _row("forwarded", [("example.org", A) for _ in sides], resolvers, count, gap),
            _row("its server", [("example.org", A) for _ in sides], [asker.server for asker in askers], count, gap),
        ]


def _reverse(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def _row(name: str, questions: list[tuple[str, int]], asking: list[socket.socket], count: int, gap: float) -> Row:
    pairs = zip(asking, questions, strict=True)
    row = interleaved(name, [lambda to=asker, what=asked: ask(to, *what) for asker, asked in pairs], count, gap)
    print(f"{name:24}" + "".join(f"{value:10.3f}" for value in row.medians) + f"   {row.ratio()}", flush=True)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="without a Docker beside")
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--gap", type=float, default=0.0)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    found = measure(not given.alone, given.n, given.gap)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({row.case: {"median": row.medians, "best": row.bests} for row in found}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
