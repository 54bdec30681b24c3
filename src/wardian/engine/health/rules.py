"""Health checks: what may be asked, and what a result makes of a container's health. Pure: no clock, no process.

                 result 0                        result 0
    starting ───────────────▶ healthy ◀───────────────────── unhealthy
       │                        │                                 ▲
       └────── `retries` failures in a row, each counted ─────────┘     (within the start period none is counted)

A container that does not run, or is paused, is not checked and counts as unhealthy, as Docker has it. The five newest
results are kept, also over a restart of the container.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from wardian.engine.options import checks
from wardian.errors import INVALID, WardianError

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig

STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
STATUSES = (NONE, STARTING, HEALTHY, UNHEALTHY)
ACTIONS = ("none", "kill", "restart", "stop")  # Podman's, of a container that became unhealthy
KILLED = -1  # the exit code of a check that was not seen to its end
MOST_OUTPUT = 4096  # bytes
_KEPT = 5
_SECOND = 1_000_000_000
_LEAST = 1_000_000  # a millisecond
_SHELL = ["/bin/sh", "-c"]
_TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")
_FIELDS = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")


class Check(NamedTuple):
    """What is run, and when. Times are nanoseconds."""

    command: list[str]
    interval: int = 30 * _SECOND
    timeout: int = 30 * _SECOND
    start_period: int = 0
    start_interval: int = 5 * _SECOND
    retries: int = 3


class Result(NamedTuple):
    """One check. Times are Unix nanoseconds."""

    start: int
    end: int
    exit_code: int
    output: str


class Health(NamedTuple):
    """How a container was found to be. `log` has the oldest result first."""

    status: str = STARTING
    streak: int = 0
    log: tuple[Result, ...] = ()


# --- what may be asked ---


def checked(value: Any, path: str) -> dict[str, Any]:
    """The `Healthcheck` of a create body: the fields that are set. Raises INVALID in Docker's words."""
    fields = checks.json_object(value, path)
    for name in fields:
        if name not in _FIELDS:
            raise checks.not_built(f"{path}.{name}", f"{name} of a health check")
    for name in _TIMES:
        if fields.get(name) and checks.integer(-(1 << 63))(fields[name], f"{path}.{name}") < _LEAST:
            message = f"{name} in Healthcheck cannot be less than 1ms"
            raise WardianError(INVALID, message, operation="create", subject=path)
    if checks.integer(-(1 << 63))(fields.get("Retries") or 0, f"{path}.Retries") < 0:
        raise WardianError(INVALID, "Retries in Healthcheck cannot be negative", operation="create", subject=path)
    test = checks.strings(fields.get("Test") or [], f"{path}.Test")
    if test in (["CMD"], ["CMD-SHELL"]):
        raise checks.invalid(f"{path}.Test", test, "it names no command")
    return {name: value for name, value in fields.items() if value}


def merged(asked: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Docker's rule: each field that the user leaves open is the image's."""
    if not image:
        return None if asked is None else dict(asked)
    return {name: image[name] for name in _FIELDS if image.get(name)} | dict(asked or {})


def warnings(asked: Mapping[str, Any] | None) -> list[str]:
    """Docker takes a test of a kind that it does not know, and does not run it."""
    test = (asked or {}).get("Test")
    if not test or test[0] in ("NONE", "CMD", "CMD-SHELL"):
        return []
    return [f"the health check is not run: its test begins with {test[0]!r}, not with CMD, CMD-SHELL or NONE"]


def check_of(config: "ContainerConfig") -> Check | None:
    """None for a container that is not checked."""
    asked = config["Healthcheck"]
    test = (asked or {}).get("Test")
    if not test or test[0] not in ("CMD", "CMD-SHELL") or len(test) < 2:
        return None
    command = test[1:] if test[0] == "CMD" else [*(config["Shell"] or _SHELL), *test[1:]]
    default = Check(command)
    return Check(
        command,
        asked.get("Interval") or default.interval,
        asked.get("Timeout") or default.timeout,
        asked.get("StartPeriod") or default.start_period,
        asked.get("StartInterval") or default.start_interval,
        asked.get("Retries") or default.retries,
    )


# --- what becomes of it ---


def begun(health: Health | None) -> Health:
    """Of a container that was started."""
    return Health(log=health.log if health is not None else ())


def halted(health: Health) -> Health:
    """Of a container that is not checked any more: it ended, or was paused."""
    return health._replace(status=UNHEALTHY)


def after(health: Health, check: Check, result: Result, started_at: int) -> Health:
    """The health that a result makes, in a container that was started at `started_at`."""
    log = (*health.log, result)[-_KEPT:]
    if result.exit_code == 0:
        return Health(HEALTHY, 0, log)
    if health.status == STARTING and result.start - started_at < check.start_period:
        return health._replace(log=log)
    streak = health.streak + 1
    return Health(UNHEALTHY if streak >= check.retries else health.status, streak, log)


def pause(health: Health, check: Check, started_at: int, now: int) -> int:
    """Nanoseconds from a check's end (or the start) to the next one."""
    young = health.status == STARTING and now - started_at < check.start_period
    return check.start_interval if young else check.interval


def timed_out(check: Check, output: str) -> str:
    words = f"Health check exceeded timeout ({go_duration(check.timeout)})"
    return f"{words}: {output}" if output else words


def cut(output: bytes) -> str:
    """As much of it as is kept. `output` may be a part of all that was said."""
    text = output[:MOST_OUTPUT].decode(errors="replace")
    return f"{text}..." if len(output) > MOST_OUTPUT else text


def go_duration(nanoseconds: int) -> str:
    """Go's time.Duration as text: 10ms, 1.5s, 1m30s."""
    for size, unit in ((1_000, "µs"), (1_000_000, "ms"), (_SECOND, "s")):
        if nanoseconds < 1000 * size and size < _SECOND:
            return f"{nanoseconds / size:.9f}".rstrip("0").rstrip(".") + unit
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // _SECOND}.{rest % _SECOND:09d}".rstrip("0").rstrip(".") + "s"
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds


# --- how it is shown ---


def in_status(health: Health | None) -> str:
    """What `docker ps` puts behind "Up 3 minutes"."""
    if health is None:
        return ""
    return " (health: starting)" if health.status == STARTING else f" ({health.status})"


def status_of(health: Health | None) -> str:
    """For a list's filter."""
    return NONE if health is None else health.status
