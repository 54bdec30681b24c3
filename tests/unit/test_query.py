"""Times in a query: unix seconds and RFC 3339, with all nine digits of a second."""

import pytest

from wardian.errors import INVALID, WardianError
from wardian.server.query import Query


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1704103200.123456789", 1_704_103_200_123_456_789),
        ("2024-01-01T10:00:00.123456789Z", 1_704_103_200_123_456_789),
        ("2024-01-01T11:00:00.123456789%2B01:00", 1_704_103_200_123_456_789),
        ("2024-01-01T10:00:00.5Z", 1_704_103_200_500_000_000),
        ("2024-01-01T10:00:00", 1_704_103_200_000_000_000),
        ("1969-12-31T23:59:59.9999999999Z", -1),
        ("", 0),
    ],
)
def test_moments(text: str, nanoseconds: int) -> None:
    assert Query(f"since={text}").nanoseconds("since") == nanoseconds


@pytest.mark.parametrize("text", ["x", "2024-01-01T10:00:00.x", "10:00", "2024-13-01"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(WardianError) as caught:
        Query(f"since={text}").nanoseconds("since")
    assert caught.value.kind == INVALID
