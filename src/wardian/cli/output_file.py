"""Where `export` and `save` may write."""

from __future__ import annotations

import os

from wardian.cli.command import Failure


def check_output(path: str, action: str) -> None:
    """Before anything is asked for. Raises Failure in docker's words."""
    parent = os.path.dirname(os.path.normpath(path))
    if parent and not os.path.isdir(parent):
        raise Failure(f'failed to {action}: invalid output path: directory "{parent}" does not exist')
    if os.path.exists(path) and not os.path.isfile(path):
        raise Failure(f'failed to {action}: invalid output path: "{path}" must be a regular file')
