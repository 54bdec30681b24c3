"""What connect and disconnect did to the networks of a container while it ran, kept for `explain`: changes.json.

Of one run: the file names the start that it belongs to, and the first change after another start begins it anew.
"""

import logging
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from wardian.engine.life.create import write_file
from wardian.engine.registry import Container
from wardian.network import Done

log = logging.getLogger(__name__)

_FILE = "changes.json"
_MOST = 100  # the oldest go: who connects in a loop for years fills no disk


class NetworkChange(NamedTuple):
    """`action` is connect or disconnect, `at` nanoseconds since 1970."""

    action: str
    network: str
    at: int
    steps: Sequence[Done]


class Changes(NamedTuple):
    version: int = 1
    started_at: int = 0
    changes: Sequence[NetworkChange] = ()


def keep_change(container: Container, action: str, network: str, steps: Sequence[Done]) -> None:
    """A disk that cannot take it (it is full, say) undoes no change."""
    change = NetworkChange(action, network, time.time_ns(), steps)
    kept = (*changes_of(container), change)[-_MOST:]
    document = Changes(1, container.state.started_at, kept)
    try:
        write_file(os.path.join(container.config.directory, _FILE), msgspec.json.encode(document))
    except OSError as error:
        log.error("container %s: the record of its %s was not written: %s", container.id[:12], action, error)


def changes_of(container: Container) -> Sequence[NetworkChange]:
    """Those since its last start, oldest first. What cannot be read is as good as none."""
    try:
        with open(os.path.join(container.config.directory, _FILE), "rb") as file:
            found = msgspec.json.decode(file.read(), type=Changes)
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("container %s: the record of its changes cannot be read: %s", container.id[:12], error)
        return ()
    return found.changes if found.started_at == container.state.started_at else ()


def described(changes: Sequence[NetworkChange]) -> list[dict[str, Any]]:
    """As `explain` answers them."""
    return [
        {
            "Action": one.action,
            "Network": one.network,
            "Time": one.at,
            "Steps": [
                {"Kind": step.kind, "Description": step.description, "Nanoseconds": step.nanoseconds}
                for step in one.steps
            ],
        }
        for one in changes
    ]
