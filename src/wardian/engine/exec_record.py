"""What a started exec leaves on disk, so that a later engine can still say how it ended.

RUN_ROOT/execs/ID/exec.json          whose it is and what was asked, written before it is launched
RUN_ROOT/execs/ID/supervisor.sock    while it runs
RUN_ROOT/execs/ID/exit               once it has ended
"""

import logging
import os
from typing import Any, NamedTuple

import msgspec

from wardian.storage import remove_tree

log = logging.getLogger(__name__)

_FILE = "exec.json"


class ExecRecord(NamedTuple):
    version: int
    boot_id: str
    container: str
    options: dict[str, Any]


def keep(run_dir: str, record: ExecRecord) -> None:
    """Makes the exec's run directory with its record in it. Raises OSError."""
    os.mkdir(run_dir, 0o700)
    with open(os.path.join(run_dir, _FILE), "wb") as file:
        file.write(msgspec.json.encode(record._asdict()))


def found_in(run_dir: str) -> ExecRecord | None:
    """None when it is not whole, or of a newer version: then nobody asks for it any more."""
    try:
        with open(os.path.join(run_dir, _FILE), "rb") as file:
            return ExecRecord(**msgspec.json.decode(file.read()))
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, TypeError) as error:
        log.warning("%s is left out, its record cannot be read: %s", run_dir, error)
        return None


def forget(directory: str, identity: str) -> None:
    """Take an exec's run directory away; it may be gone."""
    try:
        remove_tree(directory, identity)
    except FileNotFoundError:
        pass
