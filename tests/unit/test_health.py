"""Health checks: what may be asked, what an image adds, and the state that results make."""

from typing import Any

import pytest

from wardian.engine.health import rules as health
from wardian.engine.health.rules import HEALTHY, STARTING, UNHEALTHY, Check, Health, Result
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.decode import decode, merge_image
from wardian.errors import INVALID, WardianError

SECOND = 1_000_000_000


def check(asked: dict[str, Any] | None, **more: Any) -> Check | None:
    return health.check_of(ContainerConfig(decode({"Healthcheck": asked, **more})))


def follow(codes: list[int], now: Health, of: Check) -> list[tuple[str, int]]:
    """Status and streak after each of the checks, one each second since the start."""
    found = []
    for at, code in enumerate(codes, 1):
        now = health.after(now, of, Result(at * SECOND, at * SECOND, code, ""), 0)
        found.append((now.status, now.streak))
    return found


def test_a_test_is_a_command_or_a_shell_s_line() -> None:
    assert check({"Test": ["CMD", "a", "b"]}) == Check(["a", "b"])
    assert check({"Test": ["CMD-SHELL", "a b"]}) == Check(["/bin/sh", "-c", "a b"])
    assert check({"Test": ["CMD-SHELL", "a"]}, Shell=["/bin/ash", "-ec"]) == Check(["/bin/ash", "-ec", "a"])


@pytest.mark.parametrize(
    "asked", [None, {}, {"Test": []}, {"Test": ["NONE"]}, {"Test": ["X", "y"]}, {"Interval": SECOND}]
)
def test_without_a_test_there_is_no_check(asked: dict[str, Any] | None) -> None:
    assert check(asked) is None


def test_times_have_docker_s_defaults() -> None:
    asked = {"Test": ["CMD", "a"], "Interval": 2 * SECOND, "StartPeriod": 0, "Retries": 7}
    expected = Check(["a"], 2 * SECOND, 30 * SECOND, 0, 5 * SECOND, 7)
    assert check(asked) == expected


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"Interval": 5}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Timeout": -1}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"StartPeriod": 5}, "StartPeriod in Healthcheck cannot be less than 1ms"),
        ({"StartInterval": 5}, "StartInterval in Healthcheck cannot be less than 1ms"),
        ({"Retries": -1}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_what_docker_refuses(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(WardianError) as caught:
        decode({"Healthcheck": asked})
    assert (caught.value.kind, caught.value.message) == (INVALID, says)


def merged(asked: dict[str, Any] | None, image: dict[str, Any] | None, **own: Any) -> tuple[Any, list[str]]:
    values = decode({"Image": "i", "Cmd": ["x"], **({} if asked is None else {"Healthcheck": asked}), "Wardian": own})
    warnings = merge_image(values, {"Healthcheck": image} if image is not None else {})
    return values.get("Healthcheck"), warnings


def test_an_image_fills_what_the_user_leaves_open() -> None:
    image = {"Test": ["CMD", "image"], "Interval": 3 * SECOND, "Retries": 2}
    assert merged(None, image) == (image, [])
    assert merged({"Interval": SECOND}, image)[0] == {"Test": ["CMD", "image"], "Interval": SECOND, "Retries": 2}
    assert merged({"Test": ["NONE"]}, image)[0]["Test"] == ["NONE"]
    assert merged({"Test": ["CMD", "mine"]}, None) == ({"Test": ["CMD", "mine"]}, [])
    assert merged(None, None) == (None, [])


def test_a_test_of_an_unknown_kind_is_said() -> None:
    assert "begins with 'curl'" in merged({"Test": ["curl", "x"]}, None)[1][0]


def test_an_action_needs_a_check() -> None:
    with pytest.raises(WardianError, match="cannot set on-failure action to kill without a health check"):
        merged(None, None, HealthOnFailure="kill")
    merged(None, {"Test": ["CMD", "image"]}, HealthOnFailure="kill")
    merged(None, None, HealthOnFailure="none")


def test_as_many_failures_as_retries_make_it_unhealthy() -> None:
    of = Check(["x"], retries=3)
    assert follow([1, 1, 1, 1], Health(), of) == [(STARTING, 1), (STARTING, 2), (UNHEALTHY, 3), (UNHEALTHY, 4)]
    assert follow([0, 1, 1, 0, -1], Health(), of) == [
        (HEALTHY, 0),
        (HEALTHY, 1),
        (HEALTHY, 2),
        (HEALTHY, 0),
        (HEALTHY, 1),
    ]
    assert follow([0], Health(UNHEALTHY, 9), of) == [(HEALTHY, 0)]


def test_failures_in_the_start_period_do_not_count() -> None:
    of = Check(["x"], retries=1, start_period=3 * SECOND)
    assert follow([1, 1, 1], Health(), of) == [(STARTING, 0), (STARTING, 0), (UNHEALTHY, 1)]
    assert follow([0, 1], Health(), of) == [(HEALTHY, 0), (UNHEALTHY, 1)]


def test_while_it_starts_checks_may_come_more_often() -> None:
    of = Check(["x"], start_period=10 * SECOND, start_interval=SECOND)
    assert health.pause(Health(), of, 0, 9 * SECOND) == SECOND
    assert health.pause(Health(), of, 0, 10 * SECOND) == of.interval
    assert health.pause(Health(HEALTHY), of, 0, 9 * SECOND) == of.interval


def test_the_last_five_results_are_kept_over_a_restart() -> None:
    now = Health()
    for number in range(7):
        now = health.after(now, Check(["x"]), Result(number, number, 0, ""), 0)
    assert [result.start for result in now.log] == [2, 3, 4, 5, 6]
    assert health.begun(health.halted(now)) == Health(STARTING, 0, now.log)
    assert health.begun(None) == Health()


def test_what_it_said_is_cut() -> None:
    assert health.cut(b"y" * 4096) == "y" * 4096
    assert health.cut(b"y" * 4097) == "y" * 4096 + "..."
    assert health.cut(b"\xffx") == "\N{REPLACEMENT CHARACTER}x"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1_000_000, "1ms"), (10_500_000, "10.5ms"), (SECOND, "1s"), (3 * SECOND // 2, "1.5s"), (30 * SECOND, "30s"),
        (90 * SECOND, "1m30s"), (3600 * SECOND, "1h0m0s"), (999_999_999, "999.999999ms"),
    ],
)  # fmt: skip
def test_a_duration_as_go_writes_it(nanoseconds: int, text: str) -> None:
    assert health.go_duration(nanoseconds) == text
    assert health.timed_out(Check(["x"], timeout=nanoseconds), "").endswith(f"({text})")


def test_how_it_is_shown() -> None:
    assert health.in_status(Health()) == " (health: starting)"
    assert health.in_status(Health(HEALTHY)) == " (healthy)"
    assert (health.in_status(None), health.status_of(None)) == ("", "none")
