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


@pytest.mark.parametrize(("text", "told"), [
    ("all=%zz", 'invalid URL escape "%zz"'),
    ("all=1&%4", 'invalid URL escape "%4"'),
    ("all=%", 'invalid URL escape "%"'),
    ("all=1;limit=2", "invalid semicolon separator in query"),
    ("a=%zz;", "invalid semicolon separator in query"),
    ("a=%zz&b;", 'invalid URL escape "%zz"'),
])  # fmt: skip
def test_what_is_badly_written(text: str, told: str) -> None:
    query = Query(text)  # refused by who asks for something of it
    for asks in (query.flag, query.number, query.text, query.texts, query.nanoseconds, query.__contains__):
        with pytest.raises(WardianError) as caught:
            asks("limit")
        assert (caught.value.kind, str(caught.value)) == (INVALID, told)


def test_escapes() -> None:
    query = Query("a=%3B%25zz&b=1+2&b=%C3%A9&c")
    assert (query.text("a"), query.texts("b"), query.flag("c")) == (";%zz", ["1 2", "é"], False)


@pytest.mark.parametrize("text", ["x", "2024-01-01T10:00:00.x", "10:00", "2024-13-01"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(WardianError) as caught:
        Query(f"since={text}").nanoseconds("since")
    assert caught.value.kind == INVALID
