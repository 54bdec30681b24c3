"""Fixtures that every ring of tests shares."""

from registry import registry

__all__ = ["registry"]
