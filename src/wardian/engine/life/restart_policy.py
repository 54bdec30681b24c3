"""Restart policies: what is decided when a container ends, or an engine begins. Pure; restarts.py carries it out.

no                never
always            whenever it ends; stopped by hand, when the next engine starts
unless-stopped    whenever it ends; stopped by hand it stays so, over engines and boots
on-failure[:n]    when its code is not 0, at most n times in a row (0: without end)

Docker's clock: 100 ms, each time twice as long, 60 s at most; a run of 10 s starts it anew. A start by hand forgets the
count and the wait.
"""

from collections.abc import Mapping
from typing import Any

from wardian.engine.life.state import RunState, State
from wardian.errors import INVALID, WardianError

FIRST_WAIT, LONGEST_WAIT = 100_000_000, 60_000_000_000
LONG_RUN = 10_000_000_000
POLICIES = ("no", "always", "on-failure", "unless-stopped")


def wait_after(policy: Mapping[str, Any], state: RunState, exit_code: int, ran: int) -> int | None:
    """How long to wait before it is started again, in ns; None when it is not. `state` is that of the run that ended,
    which took `ran` ns."""
    if state.stays_down or not _wants(policy, state, exit_code):
        return None
    if ran >= LONG_RUN or not state.backoff:
        return FIRST_WAIT
    return min(2 * state.backoff, LONGEST_WAIT)


def wait_after_failure(policy: Mapping[str, Any], state: RunState, exit_code: int) -> int | None:
    """The same after a start by the policy that failed: what was missing (space, a port, a disk) may be there soon."""
    return wait_after(policy, state._replace(stays_down=False), exit_code, 0)


def comes_with_engine(policy: Mapping[str, Any], state: RunState) -> bool:
    """Whether an engine that starts starts this one, which has ended. What failed and was then stopped by hand stays
    down: a failure is no reason to come back once somebody has looked."""
    if state.state is not State.EXITED or not state.started_at:
        return False
    if policy["Name"] == "on-failure" and state.stopped_by_user:
        return False
    return _wants(policy, state, state.exit_code)


def _wants(policy: Mapping[str, Any], state: RunState, exit_code: int) -> bool:
    name, most = policy["Name"], policy["MaximumRetryCount"]
    if name == "on-failure":
        return exit_code != 0 and (not most or state.restarts < most)
    return bool(name == "always" or (name == "unless-stopped" and not state.stopped_by_user))


def check_policy(value: Any, path: str) -> dict[str, Any]:
    """The option's check. Raises WardianError(INVALID) in Docker's words."""

    def refused(why: str) -> WardianError:
        message = f"invalid restart policy: {why}"
        return WardianError(INVALID, message, operation="create", subject=path)

    if not isinstance(value, dict):
        raise refused("it must be an object")
    name, most = value.get("Name") or "", value.get("MaximumRetryCount") or 0
    if name not in ("", *POLICIES):
        raise refused(
            f"unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        )
    if not isinstance(most, int) or isinstance(most, bool):
        raise refused("maximum retry count must be a number")
    if most and name != "on-failure":
        raise refused("maximum retry count can only be used with 'on-failure'")
    if most < 0:
        raise refused("maximum retry count cannot be negative")
    return {"Name": name or "no", "MaximumRetryCount": most}


def check_with_removal(policy: Mapping[str, Any] | None, removes: bool) -> None:
    if removes and policy is not None and policy["Name"] != "no":
        message = "can't create 'AutoRemove' container with restart policy"
        raise WardianError(INVALID, message, operation="create", subject="HostConfig.RestartPolicy")
