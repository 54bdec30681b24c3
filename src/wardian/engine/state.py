"""A container's state: one enum, one transition table, one frozen record that is replaced as a whole.

Configuration is immutable and lives elsewhere (`options.ContainerConfig`), live handles too (`containers.Container`).
Docker's booleans (Running, Paused, Dead) are derived in `inspect`.

              launched          exited
    CREATED ───────────▶ RUNNING ──────▶ EXITED ──launched──▶ RUNNING
       │                 ▲     │            │
       │           paused│     │resumed     │
       │                 └PAUSED            │
       └──────removing──▶ REMOVING ◀────────┘   (a record that is gone has no state)
"""

from enum import Enum
from typing import NamedTuple

from wardian.errors import CONFLICT, WardianError


class State(Enum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


class Event(Enum):
    LAUNCHED = "launched"
    EXITED = "exited"
    PAUSED = "paused"
    RESUMED = "resumed"
    REMOVING = "removing"
    FAILED = "failed"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CREATED: {Event.LAUNCHED: State.RUNNING, Event.REMOVING: State.REMOVING, Event.FAILED: State.CREATED},
    State.RUNNING: {Event.EXITED: State.EXITED, Event.PAUSED: State.PAUSED},
    State.PAUSED: {Event.RESUMED: State.RUNNING, Event.EXITED: State.EXITED},
    State.EXITED: {Event.LAUNCHED: State.RUNNING, Event.REMOVING: State.REMOVING, Event.FAILED: State.EXITED},
    # a removal that failed half way may be tried again
    State.REMOVING: {Event.FAILED: State.DEAD},
    State.DEAD: {Event.REMOVING: State.REMOVING},
}

LIVE = frozenset({State.RUNNING, State.PAUSED})


class RunState(NamedTuple):
    """What a container does now, or how it ended. Times are unix nanoseconds, 0 for never.

    `start_time` is field 22 of /proc/PID/stat: with the pid it names one process for as long as the kernel runs.
    """

    state: State = State.CREATED
    pid: int = 0
    start_time: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    reason: str = ""
    boot_id: str = ""

    @property
    def live(self) -> bool:
        return self.state in LIVE

    def after(self, event: Event, **changes: object) -> "RunState":
        """The record after `event`. Raises WardianError(CONFLICT) when the table has no such step."""
        target = TRANSITIONS[self.state].get(event)
        if target is None:
            raise WardianError(CONFLICT, f"a container that is {self.state.value} cannot become {event.value}")
        return self._replace(state=target, **changes)  # type: ignore[arg-type]
