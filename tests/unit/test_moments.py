"""The value of an `until` filter."""

import time

import pytest

from wardian.moments import unix_moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1700000000),
        ("2023-11-14T22:13:20Z", 1700000000),
        ("2023-11-14T23:13:20+01:00", 1700000000),
        ("2023-11-14T22:13:20.123456789Z", 1700000000.123456),
        ("2023-11-14T22:13:20", 1700000000),
        ("2023-11-14", 1699920000),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert unix_moment(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("1.5s", 1.5), ("100ms", 0.1)])
def test_durations_are_before_now(text: str, seconds: float) -> None:
    assert unix_moment(text) == pytest.approx(time.time() - seconds, abs=5)


@pytest.mark.parametrize("text", ["", "x", "1", "h", "-1h", "10 years", "2023-13-01"])
def test_what_is_none(text: str) -> None:
    assert unix_moment(text) == (1 if text == "1" else None)
