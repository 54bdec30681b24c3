"""What a started exec leaves on disk, so that a later engine can still say how it ended.

RUN_ROOT/execs/ID/exec.json          whose it is and what was asked, written before it is launched
RUN_ROOT/execs/ID/supervisor.sock    while it runs (and in a spare)
RUN_ROOT/execs/ID/exit               once it has ended
RUN_ROOT/staging/…/spare.X/          made ahead, with files that are to be filled: to make each costs more than the rest
"""

import logging
import os
import socket
from typing import Any, NamedTuple

import msgspec

from wardian.descriptors import write_all
from wardian.runtime import listen
from wardian.storage import Spares, remove_tree

log = logging.getLogger(__name__)

_FILE = "exec.json"
_FILLED_LATER = (_FILE, "exit.tmp")  # the second by the supervisor (launcher/exit.c)


class ExecRecord(NamedTuple):
    version: int
    boot_id: str
    container: str
    options: dict[str, Any]


def keep(run_dir: str, record: ExecRecord, spares: Spares[socket.socket]) -> socket.socket:
    """Makes the exec's run directory with its record in it, and returns its supervisor's socket. Raises OSError."""
    listener = spares.take(run_dir)
    path = os.path.join(run_dir, _FILE)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(fd, msgspec.json.encode(record._asdict()))
    except OSError as error:
        error.filename = error.filename or path  # write(2) knows none
        raise
    finally:
        os.close(fd)
    return listener


def make_directory(path: str) -> socket.socket:
    """One without a record: what `found_in` does not take for an exec."""
    os.mkdir(path, 0o700)
    for name in _FILLED_LATER:
        os.close(os.open(os.path.join(path, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return listen(path)


def found_in(run_dir: str) -> ExecRecord | None:
    """None when it is not whole, or of a newer version: then nobody asks for it any more."""
    try:
        with open(os.path.join(run_dir, _FILE), "rb") as file:
            data = file.read()
        return ExecRecord(**msgspec.json.decode(data)) if data else None  # a spare that was not taken
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
