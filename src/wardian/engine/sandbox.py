"""A sandbox: namespaces, the network attachment and the cgroup parent, of one container or of several that share it.

A container has a sandbox of its own, named like it, or joins parts of another's (`--network container:X`, `--pid`,
`--ipc`). Endpoints belong to sandboxes, never to containers.
"""

import os
from typing import NamedTuple

from wardian.engine.config import ContainerConfig
from wardian.engine.registry import Container, Registry
from wardian.errors import CONFLICT, INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel.pidfd import same_process
from wardian.network import Endpoint, EndpointWant, Networks

# namespaces that a container may join, by their names in /proc/PID/ns
_JOINED = {"network": "net", "pid": "pid", "ipc": "ipc"}


class Sandbox(NamedTuple):
    """What a start found or made. `descriptors` are namespace descriptors by OCI kind, closed after the launch."""

    id: str
    descriptors: dict[str, int]
    endpoint: Endpoint | None = None
    # whose /etc/hosts, hostname and resolv.conf a container of this sandbox shows: with a joined network, the other's
    files_of: str = ""

    def close_descriptors(self) -> None:
        for fd in self.descriptors.values():
            os.close(fd)
        self.descriptors.clear()


def network_of(config: ContainerConfig) -> str:
    """ "bridge", "none", "host" or "" for a joined one."""
    mode = str(config["HostConfig.NetworkMode"])
    if config.joins("network"):
        return ""
    return "bridge" if mode == "default" else mode


async def acquire(container: Container, registry: Registry, networks: Networks) -> Sandbox:
    """Open what is joined, and attach what is the container's own to its network. On failure nothing is held."""
    config = container.config
    sandbox = Sandbox(container.id, {})
    try:
        files_of = ""
        for kind, name in _JOINED.items():
            ref = config.joins(kind)
            if ref:
                other = _running(registry.find(ref))
                if kind == "ipc":
                    _check_shareable(other)
                sandbox.descriptors[kind] = _open_namespace(other, name)
                files_of = other.id if kind == "network" else files_of
        endpoint = None
        if network_of(config) == "bridge":
            endpoint = await networks.bridge.acquire(container.id, EndpointWant())
            sandbox.descriptors["network"] = endpoint.netns_fd
        return sandbox._replace(endpoint=endpoint, files_of=files_of)
    except BaseException:
        sandbox.close_descriptors()
        raise


async def release(container: Container, networks: Networks) -> None:
    """The sandbox's last process is gone: give its place on the network back."""
    if network_of(container.config) == "bridge":
        await networks.bridge.release(container.id)


def _running(other: Container) -> Container:
    if not other.state.live:
        message = f"cannot join network namespace of a non running container: {other.id}"
        raise WardianError(CONFLICT, message, operation="start", subject=other.id)
    return other


def _check_shareable(other: Container) -> None:
    """Docker's words for a private one. A shared one has a /dev/shm that both see, which cannot be had yet: better no
    container than one whose shared memory is not shared."""
    if other.config["HostConfig.IpcMode"] not in ("shareable", "host"):
        message = (
            f"failed to join IPC namespace: container {other.id}: non-shareable IPC "
            "(hint: use IpcMode:shareable for the donor container)"
        )
        raise WardianError(INVALID, message, operation="start", subject=other.id)
    message = "HostConfig.IpcMode: the shared memory of another container is not built yet"
    raise WardianError(NOT_IMPLEMENTED, message, operation="start", subject=other.id)


def _open_namespace(other: Container, name: str) -> int:
    """A descriptor of one namespace of a running container, of that process and no later one with its pid."""
    state = other.state
    ended = WardianError(CONFLICT, f"container {other.id} has just ended", operation="start", subject=other.id)
    try:
        fd = os.open(f"/proc/{state.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise ended from None
    if not same_process(state.pid, state.start_time):
        os.close(fd)
        raise ended
    return fd
