"""`--filter`: how it is typed, and how a query holds it. Apart from the other values: every listing asks for it."""

from __future__ import annotations


def read_filter(text: str) -> tuple[str, str]:
    """`name=value` of --filter."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


def filters_query(filters: object) -> dict[str, dict[str, bool]] | None:
    """What `filters` of a query holds: {name: {value: true}}; None when there are none."""
    query: dict[str, dict[str, bool]] = {}
    for name, value in filters:  # type: ignore[attr-defined]
        query.setdefault(name, {})[value] = True
    return {name: query[name] for name in sorted(query)} or None
