"""Wardian: a container engine for Linux that shows what it does. `docs/tour.md` walks `run` from here to execve."""

__version__ = "0.1.0"
