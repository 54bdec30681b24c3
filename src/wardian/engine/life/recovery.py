"""What an engine finds when it starts: containers that its predecessor started, alive or ended meanwhile.

supervisor answers on its socket     reconnect, and wait for the exit as if nothing had been
exit record in the run directory     it ended while no engine looked: its own code, its own time
neither, same boot                   the supervisor was lost, and the container with it: 137
neither, another boot                the host went down: 255, as docker says it, and the reason
waited to be started again           goes on waiting, for the rest of its time

Then the restart policies: what has ended, and comes back with an engine (restart_policy.py), is started.

The state in the store may be one step behind: an engine that was killed between a launch and its row left a container
that is "created" or "exited" and runs, or ran. Run directories and supervisors say what is so.
"""

import asyncio
import errno
import logging
import os
import time

from wardian.engine import connections, links
from wardian.engine.files.names import write_hosts
from wardian.engine.life import create, pausing, sandbox
from wardian.engine.life.lifecycle import Lifecycle
from wardian.engine.life.reasons import HOST_WENT_DOWN
from wardian.engine.life.state import State
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import WardianError
from wardian.kernel import open_files, procfs
from wardian.network import Changed, SandboxWant
from wardian.runtime import ExitRecord, SupervisorClient, read_exit

log = logging.getLogger(__name__)

_LOST_DEADLINE = 5.0  # seconds, for the end of a container whose supervisor is lost
_BUSY_DEADLINE, _BUSY_PAUSE = 5.0, 0.05  # seconds, for a supervisor that others ask at the same moment
_LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


async def recover(parts: Parts, lifecycle: Lifecycle) -> None:
    """Fill the registry from the store, and settle what was running. One broken container stops no engine."""
    for stored in parts.store.load():
        parts.registry.add(create.load_container(parts, stored.record, stored.state))
    living = {container.id for container in parts.registry if await _reconnect(parts, lifecycle, container)}
    wants = {identity: _want(parts, identity) for identity in living}
    standing = (await parts.networks.recover(wants)).standing
    await asyncio.gather(*(_tell_standing(parts, identity, standing.get(identity)) for identity in living))
    for container in parts.registry:
        if container.id not in living:
            try:
                await _settle(parts, lifecycle, container)
            except Exception:
                log.exception("container %s: its state could not be settled", container.id[:12])
    _sweep(parts)
    lifecycle.resume_policies()


def _want(parts: Parts, identity: str) -> SandboxWant:
    """What a living container asked of its networks."""
    container = parts.registry.get(identity)
    assert container is not None, "of the registry"
    try:
        return sandbox.sandbox_want(container.config, container.name, parts.networks)
    except WardianError as error:  # a network of its wishes is no more: it is left on those that it is on
        log.warning("container %s: %s", identity[:12], error)
        endpoints = tuple(one.want for one in parts.networks.endpoints(identity))
        return sandbox.want_on(endpoints, container.config, container.name)


async def _tell_standing(parts: Parts, identity: str, changed: Changed | None) -> None:
    """Its supervisor and its hosts file may be a change behind, of an engine that was killed in the middle of it: a
    supervisor that is not told relays to an address that is somebody else's soon."""
    container = parts.registry.get(identity)
    assert container is not None, "of the registry"
    try:
        if changed is not None:
            await connections.hand_over(container, changed)
        if sandbox.has_links(container.config) or sandbox.left_all(container.config):
            lines = links.host_lines(links.linked(parts, container))
            write_hosts(container.config, parts.networks.endpoints(identity), parts.networks.host_gateway, lines)
    except (OSError, WardianError) as error:
        log.warning("container %s: its networks as it was told of them: %s", identity[:12], error)


async def _reconnect(parts: Parts, lifecycle: Lifecycle, container: Container) -> bool:
    supervisor = await _reached(parts, container)
    if supervisor is None:
        return False
    if not container.state.live and _exit_in(parts.home.run_container(container.id)) is not None:
        lifecycle.remains.keep(container, supervisor)  # it has ended, and is not gone yet
        return False
    if not container.state.live:
        try:
            await _take_up(parts, lifecycle, container, supervisor)
        except (OSError, WardianError) as error:
            log.warning("container %s: its supervisor is there, and cannot be taken up: %s", container.id[:12], error)
            supervisor.close()
            return False
    container.supervisor = supervisor
    container.sandbox = sandbox.Sandbox(container.id, {})
    pausing.settle(parts, container)
    lifecycle.watch(container)
    return True


async def _reached(parts: Parts, container: Container) -> SupervisorClient | None:
    """None when it has ended. Raises WardianError when it is this process that lacks something: who cannot ask whether
    a container lives must not end it for dead."""
    deadline = time.monotonic() + _BUSY_DEADLINE
    while True:
        try:
            return await SupervisorClient.connect(parts.home.run_container(container.id))
        except WardianError as error:
            if error.errno in _LACKING:
                raise
            if error.errno == errno.EAGAIN and time.monotonic() < deadline:  # its backlog is full
                await asyncio.sleep(_BUSY_PAUSE)
                continue
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                log.warning("container %s: its supervisor is not reached: %s", container.id[:12], error)
            return None


async def _take_up(parts: Parts, lifecycle: Lifecycle, container: Container, supervisor: SupervisorClient) -> None:
    """It was launched, and the engine ended before it could say so."""
    pid = (await supervisor.status()).pid
    launched = os.stat(os.path.join(parts.home.run_container(container.id), "supervisor.sock")).st_mtime_ns
    lifecycle.launched(container, pid, procfs.start_time(pid), launched, open_files.limits_of(pid))


async def _settle(parts: Parts, lifecycle: Lifecycle, container: Container) -> None:
    """No supervisor answers for this one."""
    state = container.state
    record = _exit_in(parts.home.run_container(container.id))
    if not state.live:
        going = state.state in (State.REMOVING, State.DEAD)
        if record is not None and record.started_at > state.finished_at and not going:
            lifecycle.launched(container, 0, 0, record.started_at)
            await lifecycle.exited(container, record)
        elif state.state in (State.CREATED, State.EXITED) and container.config["HostConfig.AutoRemove"]:
            lifecycle.remove(container)  # who was about to start it waits no more
        elif going:
            container.state = state._replace(state=State.DEAD)
            lifecycle.remove(container)
        return
    if record is None and state.boot_id != parts.boot_id:
        lifecycle.voided(container, HOST_WENT_DOWN)
        return
    if record is not None:
        await lifecycle.exited(container, record)
    else:  # what does not die keeps no engine from its start
        await asyncio.wait({lifecycle.watch_lost(container)}, timeout=_LOST_DEADLINE)


def _exit_in(run_dir: str) -> ExitRecord | None:
    """None also for a record that cannot be read: its container is ended as one whose supervisor is lost."""
    try:
        return read_exit(run_dir)
    except (OSError, WardianError) as error:
        log.warning("%s: the exit record cannot be read: %s", run_dir, error)
        return None


def _sweep(parts: Parts) -> None:
    """Directories without a row: of a create that an engine's end cut short, or of a removal."""
    home = parts.home
    for name in os.listdir(os.path.dirname(home.container("ID"))):
        if parts.registry.get(name) is None:
            parts.snapshots.remove(name)
    for name in os.listdir(os.path.dirname(home.run_container("ID"))):
        if parts.registry.get(name) is None:
            create.remove_run_directory(parts, name)
