"""How a container ended: the record of its supervisor, or of one that is lost, and the state that comes of it."""

import asyncio
import logging

from wardian.engine.life import create
from wardian.engine.life.reasons import reason_of
from wardian.engine.life.remains import Remains
from wardian.engine.life.state import Event, RunState
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.workers import work
from wardian.errors import WardianError
from wardian.runtime import SUPERVISOR_LOST, TIMEOUT, UNREADABLE, ExitRecord, SupervisorClient, end_lost

log = logging.getLogger(__name__)

# between two tries to end a container whose supervisor is lost, twice as long each time
_LOST_PAUSE, _LOST_PAUSE_MAX = 1.0, 60.0


async def of_supervisor(container: Container, remains: Remains) -> ExitRecord | None:
    """Waits for it; None when the supervisor ends without one."""
    supervisor: SupervisorClient = container.supervisor
    try:
        record = await supervisor.wait_end()
        remains.keep(container, supervisor)  # before its state says that it has ended
        return record
    except BaseException as error:
        supervisor.close()
        if isinstance(error, OSError | WardianError):
            return None
        raise
    finally:
        container.supervisor = None


async def of_lost(parts: Parts, container: Container) -> ExitRecord:
    """Its supervisor is gone: ends what that watched. Until nothing of it lives, it counts as running: stop says what
    holds it, and nobody starts it again."""
    state = container.state
    run_dir = parts.home.run_container(container.id)
    group = create.cgroup_of(parts, container.config)
    mounts = {parts.host.cgroup2, *(mount for _, mount in parts.host.cgroup_mounts)} - {""}
    groups = [f"{mount}/{group}" for mount in sorted(mounts)]
    pause = _LOST_PAUSE
    while True:
        try:
            return await work(
                lambda _: end_lost(run_dir, groups, state.pid, state.start_time), lambda _: None, "wardian-end"
            )
        except (OSError, WardianError) as error:
            log.error("container %s: its supervisor is lost, and its end fails: %s", container.id[:12], error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LOST_PAUSE_MAX)


def state_after(state: RunState, record: ExitRecord, wait: int | None = None) -> RunState:
    """The state after an exit; `wait`: how long until its policy starts it again, None when it does not."""
    after = state.after(
        Event.EXITED if wait is None else Event.COMES_BACK,
        pid=0,
        exit_code=record.exit_code,
        finished_at=record.finished_at,
        oom_killed=record.oom_killed,
        reason=reason_of(record, state.asks),
        error=record.reason if record.reason in (SUPERVISOR_LOST, TIMEOUT, UNREADABLE) else "",
    )
    return after if wait is None else after._replace(restarts=state.restarts + 1, backoff=wait)
