"""A container's state: one enum, one transition table, one frozen record that is replaced as a whole.

Configuration is immutable and lives elsewhere (`options.ContainerConfig`), live handles too (`containers.Container`).
Docker's booleans (Running, Paused, Dead) are derived in `inspect`.

              launched          exited
    CREATED ───────────▶ RUNNING ──────▶ EXITED ──launched──▶ RUNNING
       │                 ▲  │  │            │  ▲
       │           paused│  │  │resumed     │  │given up
       │                 └PAUSED            │  │
       │                    │  └─comes back─┼─▶ RESTARTING ──launched──▶ RUNNING
       └──────removing──▶ REMOVING ◀────────┘   (a record that is gone has no state)

RESTARTING: it ended, or its policy's start failed, and the policy starts it again after a while (restarts.py). No
process of it lives then, but Docker counts it as running, and so does `running`.
"""

from enum import Enum
from typing import NamedTuple

from wardian.engine.life.reasons import Ask
from wardian.errors import CONFLICT, WardianError


class State(Enum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


class Event(Enum):
    LAUNCHED = "launched"
    EXITED = "exited"
    COMES_BACK = "restarting"
    GIVEN_UP = "given up"
    PAUSED = "paused"
    RESUMED = "resumed"
    REMOVING = "removing"
    FAILED = "failed"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CREATED: {Event.LAUNCHED: State.RUNNING, Event.REMOVING: State.REMOVING, Event.FAILED: State.CREATED},
    State.RUNNING: {
        Event.EXITED: State.EXITED,
        Event.COMES_BACK: State.RESTARTING,
        Event.PAUSED: State.PAUSED,
    },
    State.PAUSED: {
        Event.RESUMED: State.RUNNING,
        Event.EXITED: State.EXITED,
        Event.COMES_BACK: State.RESTARTING,
    },
    State.RESTARTING: {
        Event.LAUNCHED: State.RUNNING,
        Event.COMES_BACK: State.RESTARTING,  # its start failed, and is tried again
        Event.GIVEN_UP: State.EXITED,
        Event.FAILED: State.EXITED,
    },
    State.EXITED: {
        Event.LAUNCHED: State.RUNNING,
        Event.COMES_BACK: State.RESTARTING,  # the same of one that comes with an engine
        Event.REMOVING: State.REMOVING,
        Event.FAILED: State.EXITED,
    },
    # a removal that failed half way may be tried again
    State.REMOVING: {Event.FAILED: State.DEAD},
    State.DEAD: {Event.REMOVING: State.REMOVING},
}

LIVE = (State.RUNNING, State.PAUSED)  # no set: to hash a member costs more than to look at two


class RunState(NamedTuple):
    """What a container does now, or how it ended. Times are unix nanoseconds, 0 for never.

    `start_time` is field 22 of /proc/PID/stat: with the pid it names one process for as long as the kernel runs.
    `reason` is the sentence that `inspect` shows (reasons.py). `restarts` counts what the restart policy did since the
    last start by hand, `backoff` is how long it waited last. `stopped_by_user` is remembered until the next start by
    hand; `stays_down`: this run's end is wanted, so that no policy brings it back. `asks`: signals sent by calls.
    `held`: it stands still for an operation of the engine (commit), not by a pause: on record before it does.
    `open_files`: soft and hard limit that it was started with when it asks for none, and its execs get with it; None of
    an earlier version. `with_volumes`: its removal takes its anonymous volumes too, whoever finishes it.
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
    restarts: int = 0
    backoff: int = 0
    stopped_by_user: bool = False
    stays_down: bool = False
    asks: tuple[Ask, ...] = ()
    held: bool = False
    with_volumes: bool = False
    open_files: tuple[int, int] | None = None

    @property
    def live(self) -> bool:
        """It has a process."""
        return self.state in LIVE

    @property
    def running(self) -> bool:
        """As Docker counts it: also while it waits to be started again."""
        return self.live or self.state is State.RESTARTING

    def after(self, event: Event, **changes: object) -> "RunState":
        """The record after `event`. Raises WardianError(CONFLICT) when the table has no such step."""
        target = TRANSITIONS[self.state].get(event)
        if target is None:
            raise WardianError(CONFLICT, f"a container that is {self.state.value} cannot become {event.value}")
        return self._replace(state=target, **changes)  # type: ignore[arg-type]
