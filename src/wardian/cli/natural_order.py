"""Order as people count: n2 before n10 (Docker sorts names and ports so)."""

from __future__ import annotations


def natural_key(text: str) -> list[tuple[int, int, int]]:
    """A key for sorting: runs of digits compare as numbers, all else letter by letter."""
    key: list[tuple[int, int, int]] = []
    at = 0
    while at < len(text):
        end = at
        while end < len(text) and text[end] in "0123456789":
            end += 1
        if end > at:
            key.append((ord("0"), int(text[at:end]), end - at))
            at = end
        else:
            key.append((ord(text[at]), 0, 0))
            at += 1
    return key
