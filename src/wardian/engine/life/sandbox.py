"""A sandbox: namespaces, the network attachment and the cgroup parent, of one container or of several that share it.

A container has a sandbox of its own, named like it, or joins parts of another's (`--network container:X`, `--pid`,
`--ipc`). Endpoints belong to sandboxes, never to containers.
"""

import os
from typing import NamedTuple

from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.endpoints import WITHOUT_LINKS, as_want, names_of, network_of, wanted
from wardian.engine.registry import Container, Registry
from wardian.engine.spec.namespaces import IPC_MOUNTS
from wardian.engine.userns.choice import ids_of
from wardian.engine.workers import work
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, NOT_IMPLEMENTED, SYSTEM, WardianError
from wardian.kernel.pidfd import same_process
from wardian.network import (
    Attachment,
    EndpointWant,
    Networks,
    PortWant,
    SandboxWant,
    check_links,
    close_ports,
    parse_bindings,
)
from wardian.runtime import make_user_spaces

# namespaces that a container may join, by their names in /proc/PID/ns
_JOINED = {"network": "net", "pid": "pid", "ipc": "ipc"}

# Docker's words for each, when that fails
_JOINING = {
    "network": "joining network namespace of container",
    "pid": "failed to join PID namespace",
    "ipc": "failed to join IPC namespace",
}


class Sandbox(NamedTuple):
    """What a start found or made. `descriptors` are namespace descriptors by OCI kind, and for the memory that a joined
    ipc namespace shares, the mount namespace of its owner; they and the sockets of published ports are closed after
    the launch."""

    id: str
    descriptors: dict[str, int]
    attachment: Attachment | None = None
    # whose /etc/hosts, hostname and resolv.conf a container of this sandbox shows: with a joined network, the other's
    files_of: str = ""

    def close_descriptors(self) -> None:
        for fd in self.descriptors.values():
            os.close(fd)
        self.descriptors.clear()
        if self.attachment is not None:
            close_ports(self.attachment.published)


def has_links(config: ContainerConfig) -> bool:
    """Whether a start attaches it to networks: not with the host's, another's, none, or when it was taken off all.
    What NetworkMode says does not matter: from none it may have come to others."""
    return any(name not in WITHOUT_LINKS for name in wanted(config))


def left_all(config: ContainerConfig) -> bool:
    """Whether it was taken off all its networks; of who has another's they are no matter."""
    return bool(network_of(config)) and not wanted(config)


async def acquire(container: Container, registry: Registry, networks: Networks) -> Sandbox:
    """Open what is joined, and attach what is the container's own to its networks. On failure nothing is held."""
    config = container.config
    sandbox = Sandbox(container.id, {})
    try:
        files_of = ""
        for kind, name in _JOINED.items():
            ref = config.joins(kind)
            if ref:
                other = _running(_joined(registry, kind, ref), kind)
                if kind == "ipc":
                    _check_shareable(other)
                    sandbox.descriptors[IPC_MOUNTS.lstrip("@")] = open_namespace(other, "mnt")
                sandbox.descriptors[kind] = open_namespace(other, name)
                files_of = (network_owner(registry, other) or other.id) if kind == "network" else files_of
        container.sandbox = sandbox  # who is joined may end before this one runs: see joined.py
        netns_fd = await _user_namespace(container, registry, sandbox)
        attachment = None
        if has_links(config):
            want = sandbox_want(config, container.name, networks)
            attachment = await _attach(networks, container.id, want, netns_fd)
            sandbox.descriptors["network"] = attachment.netns_fd
        return sandbox._replace(attachment=attachment, files_of=files_of)
    except BaseException:
        sandbox.close_descriptors()
        raise


async def _user_namespace(container: Container, registry: Registry, sandbox: Sandbox) -> int:
    """The user namespace that the container is to be in, among the sandbox's descriptors: a new one, or that of the
    container whose other namespaces it joins (user_namespaces(7): what is inside belongs to it). Returns the network
    namespace that was made in it, -1 when none was."""
    config = container.config
    ids = ids_of(config)
    others = {ref: kind for kind in _JOINED if (ref := config.joins(kind))}
    for ref, kind in others.items():
        other = _running(_joined(registry, kind, ref), kind)
        if ids_of(other.config) != ids:
            message = f"{_JOINING[kind]}: container {other.id} is in another user namespace"
            hint = "the same --userns for both; auto is another one for each"
            raise WardianError(CONFLICT, message, operation="start", subject=other.id, hint=hint)
    if not ids.uids:
        return -1
    if len({_key_of(_joined(registry, kind, ref)) for ref, kind in others.items()}) > 1:
        message = "namespaces of two containers cannot be joined: they are in different user namespaces"
        raise WardianError(CONFLICT, message, operation="start", subject=container.id)
    if others:
        if has_links(config):
            message = "a network of its own, in the user namespace of a container whose pid or ipc namespace it joins,"
            raise WardianError(NOT_IMPLEMENTED, f"{message} is not built yet", operation="start", subject=container.id)
        ref, kind = next(iter(others.items()))
        sandbox.descriptors["user"] = open_namespace(_running(_joined(registry, kind, ref), kind), "user")
        return -1
    network = has_links(config)
    made = await work(
        lambda _: make_user_spaces(ids.uids, ids.gids, network),
        lambda _: None,
        "wardian-spaces",
        unwanted=lambda spaces: spaces.close(),
    )
    sandbox.descriptors["user"] = made.user
    if made.network >= 0:
        sandbox.descriptors["its network"] = made.network
    return made.network


def _key_of(other: Container) -> tuple[int, int]:
    """Which user namespace it is in."""
    fd = open_namespace(other, "user")
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    return found.st_dev, found.st_ino


async def _attach(networks: Networks, identity: str, want: SandboxWant, netns_fd: int) -> Attachment:
    try:
        return await networks.attach(identity, want, netns_fd)
    except WardianError as error:
        message = f"failed to set up container networking: {error.message}"
        raise WardianError(
            error.kind, message, operation="start", subject=error.subject, errno=error.errno, hint=error.hint
        ) from error


def sandbox_want(config: ContainerConfig, name: str, networks: Networks) -> SandboxWant:
    """What a container's start asks of the networks. Raises NOT_FOUND in Docker's words for one that is not there."""
    try:
        endpoints = tuple(as_want(networks.network(ref).id, settings) for ref, settings in wanted(config).items())
    except WardianError as error:
        if error.kind != NOT_FOUND:
            raise
        message = f"failed to set up container networking: {error.message}"
        raise WardianError(NOT_FOUND, message, operation="start", subject=error.subject) from error
    return want_on(endpoints, config, name)


def want_on(endpoints: tuple[EndpointWant, ...], config: ContainerConfig, name: str) -> SandboxWant:
    """What a container asks that is on these networks."""
    check_links(link for one in endpoints for link in one.links)
    return SandboxWant(
        endpoints,
        published_of(config),
        names_of(config, name),
        tuple(config["HostConfig.Dns"]),
        tuple(config["HostConfig.DnsSearch"]),
        tuple(config["HostConfig.DnsOptions"]),
    )


def published_of(config: ContainerConfig) -> tuple[PortWant, ...]:
    """The ports that a container publishes. Raises INVALID in Docker's words."""
    bindings = config["HostConfig.PortBindings"]
    return parse_bindings(bindings, config["ExposedPorts"], config["HostConfig.PublishAllPorts"])


async def release(container: Container, networks: Networks) -> None:
    """The sandbox's last process is gone: give its places on the networks back."""
    if network_of(container.config) not in ("", "host"):
        await networks.detach(container.id)


def _joined(registry: Registry, kind: str, ref: str) -> Container:
    """Raises SYSTEM, as Docker answers it, for one that was removed since."""
    try:
        return registry.find(ref)
    except WardianError as error:
        message = f"{_JOINING[kind]}: {error.message}"
        raise WardianError(SYSTEM, message, operation="start", subject=ref) from error


def _running(other: Container, kind: str) -> Container:
    if not other.state.live:
        message = f"cannot join network namespace of a non running container: container {other.name} is "
        message += other.state.state.value
        if kind != "network":
            message = f"{_JOINING[kind]}: container {other.id} is not running"
        status = SYSTEM if kind == "pid" else CONFLICT  # as Docker answers
        raise WardianError(status, message, operation="start", subject=other.id)
    return other


def _check_shareable(other: Container) -> None:
    """Docker's words for a private one."""
    if other.config["HostConfig.IpcMode"] not in ("shareable", "host"):
        message = (
            f"failed to join IPC namespace: container {other.id}: non-shareable IPC "
            "(hint: use IpcMode:shareable for the donor container)"
        )
        raise WardianError(INVALID, message, operation="start", subject=other.id)


def open_namespace(other: Container, name: str) -> int:
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


def network_owner(registry: Registry, container: Container) -> str:
    """Whose namespace it has; "" when one that it came by is removed. Who joins existed before: there is no circle."""
    at: Container | None = container
    while at is not None and (ref := at.config.joins("network")):
        at = registry.get(ref)
    return at.id if at is not None else ""


def open_network(registry: Registry, identity: str) -> int:
    """The network namespace of a container that runs; ProcessLookupError when it does not."""
    container = registry.get(identity)
    if container is None or not container.state.live:
        raise ProcessLookupError(identity)
    try:
        return open_namespace(container, "net")
    except WardianError as error:
        raise ProcessLookupError(identity) from error
