"""What restart policies decide: when, and after how long."""

import pytest

from wardian.engine.life.restart_policy import (
    FIRST_WAIT,
    LONG_RUN,
    LONGEST_WAIT,
    check_policy,
    comes_with_engine,
    wait_after,
)
from wardian.engine.life.state import RunState, State
from wardian.errors import INVALID, WardianError

RUNNING = RunState(State.RUNNING, started_at=1)
ENDED = RunState(State.EXITED, started_at=1)


def policy(name, most=0):
    return {"Name": name, "MaximumRetryCount": most}


@pytest.mark.parametrize(
    ("name", "most", "changes", "code", "comes"),
    [
        ("no", 0, {}, 1, False),
        ("always", 0, {}, 0, True),
        ("always", 0, {"stopped_by_user": True}, 0, True),  # by a signal that was not to end it
        ("always", 0, {"stays_down": True}, 0, False),
        ("unless-stopped", 0, {}, 0, True),
        ("unless-stopped", 0, {"stopped_by_user": True}, 1, False),
        ("on-failure", 0, {"restarts": 1000}, 1, True),
        ("on-failure", 0, {}, 0, False),
        ("on-failure", 2, {"restarts": 1}, 1, True),
        ("on-failure", 2, {"restarts": 2}, 1, False),
        ("on-failure", 2, {"stays_down": True}, 1, False),
    ],
)
def test_who_comes_back(name, most, changes, code, comes):
    assert (wait_after(policy(name, most), RUNNING._replace(**changes), code, 0) is not None) == comes


def test_the_wait_doubles_up_to_a_minute_and_a_long_run_begins_anew():
    waits, state = [], RUNNING
    for _ in range(12):
        wait = wait_after(policy("always"), state, 1, 0)
        assert wait is not None
        waits.append(wait)
        state = state._replace(backoff=wait)
    assert waits[:4] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT, 8 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert wait_after(policy("always"), state, 1, LONG_RUN) == FIRST_WAIT
    assert wait_after(policy("always"), state, 1, LONG_RUN - 1) == LONGEST_WAIT


@pytest.mark.parametrize(
    ("name", "state", "comes"),
    [
        ("always", ENDED, True),
        ("always", ENDED._replace(stopped_by_user=True, stays_down=True), True),
        ("always", RunState(), False),  # it was never started
        ("always", RUNNING, False),
        ("unless-stopped", ENDED, True),
        ("unless-stopped", ENDED._replace(stopped_by_user=True), False),
        ("on-failure", ENDED._replace(exit_code=255), True),
        ("on-failure", ENDED, False),
        ("on-failure", ENDED._replace(exit_code=137, stopped_by_user=True), False),
        ("no", ENDED._replace(exit_code=1), False),
    ],
)
def test_who_comes_with_an_engine(name, state, comes):
    assert comes_with_engine(policy(name), state) == comes


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (policy("sometimes"), "unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or"),
        (policy("always", 3), "maximum retry count can only be used with 'on-failure'"),
        (policy("", 3), "maximum retry count can only be used with 'on-failure'"),
        (policy("on-failure", -1), "maximum retry count cannot be negative"),
        (policy("on-failure", "3"), "maximum retry count must be a number"),
        ("always", "it must be an object"),
    ],
)
def test_what_is_no_policy(value, words):
    with pytest.raises(WardianError, match=words) as caught:
        check_policy(value, "HostConfig.RestartPolicy")
    assert caught.value.kind == INVALID


def test_none_is_no():
    assert check_policy({}, "x") == check_policy({"Name": ""}, "x") == policy("no")
