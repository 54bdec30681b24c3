"""What an engine finds when it starts: containers that its predecessor started, alive or ended meanwhile.

supervisor answers on its socket     reconnect, and wait for the exit as if nothing had been
exit record in the run directory     it ended while no engine looked: its own code, its own time
neither, same boot                   the supervisor was lost, and the container with it: 137
neither, another boot                the host went down: 255, as docker says it, and the reason
"""

import time

from wardian.engine import create, sandbox
from wardian.engine.lifecycle import Lifecycle
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.state import Event, State
from wardian.errors import WardianError
from wardian.runtime.exitrecord import read_exit
from wardian.runtime.supervisor import SupervisorClient


async def recover(parts: Parts, lifecycle: Lifecycle) -> None:
    """Fill the registry from the store, and settle what was running."""
    for stored in parts.store.load():
        parts.registry.add(create.load_container(parts, stored.record, stored.state))
    ended = []
    for container in parts.registry:
        if container.state.live and not await _reconnect(parts, lifecycle, container):
            ended.append(container)
    living = {container.id for container in parts.registry if container.state.live and container.supervisor is not None}
    parts.networks.recover(living)
    for container in ended:
        await _settle(parts, lifecycle, container)
    for container in parts.registry:
        # a removal that an engine's end cut short, and what --rm has to take away
        if container.state.state in (State.REMOVING, State.DEAD):
            container.state = container.state._replace(state=State.DEAD)
            lifecycle.remove(container)


async def _reconnect(parts: Parts, lifecycle: Lifecycle, container: Container) -> bool:
    try:
        container.supervisor = await SupervisorClient.connect(parts.home.run_container(container.id))
    except (OSError, WardianError):
        return False
    container.sandbox = sandbox.Sandbox(container.id, {})
    lifecycle.watch(container)
    return True


async def _settle(parts: Parts, lifecycle: Lifecycle, container: Container) -> None:
    record = read_exit(parts.home.run_container(container.id))
    if record is None and container.state.boot_id != parts.boot_id:
        reason = "the host went down while the container ran"
        lifecycle.change(
            container,
            container.state.after(
                Event.EXITED, pid=0, exit_code=255, finished_at=time.time_ns(), reason=reason, error=reason
            ),
        )
        if container.config["HostConfig.AutoRemove"]:
            lifecycle.remove(container)
        return
    if record is None:
        record = await lifecycle.take_down_lost(container)
    await lifecycle.exited(container, record)
