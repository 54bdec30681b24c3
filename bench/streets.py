"""Two streets for the network benches: each engine on a host of its own with a neighbour, all in network namespaces.

So neither engine's packets pass the other's rules, and nothing of the machine's network is touched.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))

from rig import IMAGE, Engine

from leftovers import BENCH
from street import docker_here, host_and_neighbour, listener_of, unpack_docker
from throwaway import own_engine


class Side(NamedTuple):
    """One engine, and descriptors of its host's network namespace and of the neighbour's."""

    engine: Engine
    host: int
    neighbour: int
    proc: str  # where the engine's pids are counted

    def run(self, network: str, ports: dict[str, str] | None = None, **more: Any) -> str:
        """A sleeping container. `ports`: {"80/tcp": "8080"}."""
        container = self.create(network, ports, **more)
        self.engine.start(container)
        return container

    def create(self, network: str, ports: dict[str, str] | None = None, **more: Any) -> str:
        bindings = {port: [{"HostIp": "", "HostPort": host}] for port, host in (ports or {}).items()}
        fields = {"NetworkMode": network, "PortBindings": bindings, **more}
        body = {"Image": IMAGE, "Cmd": ["sleep", "3600"], "ExposedPorts": {port: {} for port in bindings}}
        container = str(self.engine.call("POST", "/containers/create", {**body, "HostConfig": fields})["Id"])
        self.engine.made(container)
        return container

    def inside(self, container: str) -> int:
        """A descriptor of a running container's network namespace. The caller closes it."""
        pid = self.engine.call("GET", f"/containers/{container}/json")["State"]["Pid"]
        return os.open(f"{self.proc}/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def network(self, name: str) -> str:
        return str(self.engine.call("POST", "/networks/create", {"Name": name})["Id"])


@contextlib.contextmanager
def streets(docker: bool) -> Iterator[list[Side]]:
    """Ours and, if wanted, the newest Docker (tests/peers/bring), with the image in place."""
    with contextlib.ExitStack() as closing:
        if docker:
            unpack_docker()
        host, neighbour = closing.enter_context(host_and_neighbour())
        own = closing.enter_context(own_engine(BENCH))
        sides = [Side(Engine("wardian", own.socket), host, neighbour, "/proc")]
        if docker:
            host, neighbour = closing.enter_context(host_and_neighbour())
            url = closing.enter_context(docker_here())
            path = url.removeprefix("unix://")
            sides.append(Side(Engine("docker", path), host, neighbour, f"/proc/{listener_of(url)}/root/proc"))
        for side in sides:
            closing.callback(side.engine.remove_all)
            side.engine.ensure_image()
        yield sides
