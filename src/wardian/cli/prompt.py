"""A question before something is removed."""

from __future__ import annotations

import sys


def confirmed(warning: str) -> bool:
    """Shows `warning`, asks, and answers whether a yes was typed. Ctrl-C and the end of stdin are a no."""
    print(f"{warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin is not None and sys.stdin.readline().strip().lower() == "y"
