"""The fixture of the peers lives beside what it starts."""

from newest import peers

__all__ = ["peers"]
