"""Whether somebody can listen to a container's log on this host, asked when it starts.

A socket of this host that is not there is a mistake that is told at once, in Docker's words: nobody would ever get the
lines. A server elsewhere that is down may come back: its lines wait (followers.py).
"""

import contextlib
import errno
import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from wardian.engine.logging.syslog import LOCAL
from wardian.errors import SYSTEM, WardianError
from wardian.home import Home


def check_reachable(home: Home, log: Mapping[str, Any]) -> None:
    """`log` is a container's LogConfig. Raises SYSTEM."""
    paths, words = _sockets(home, log["Type"], log["Config"])
    error: OSError | None = None
    for path in paths:
        error = _refusal(path)
        if error is None:
            return
    if error is None:  # it has none
        return
    reason = words or f"dial unix {paths[-1]}: connect: {(error.strerror or '').lower()}"
    message = f"failed to create task for container: failed to initialize logging driver: {reason}"
    raise WardianError(SYSTEM, message, operation="start", subject=paths[-1], errno=error.errno or 0)


def _sockets(home: Home, kind: str, options: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """The sockets of this host of which one must be there, and what Docker says when none is."""
    if kind == "journald":
        return (home.journal_socket,), "journald is not enabled on this host"
    if kind == "syslog":
        address = urlsplit(options.get("syslog-address", ""))
        if not address.scheme:
            return LOCAL, "Unix syslog delivery error"
        return ((address.path,), "") if address.scheme in ("unix", "unixgram") else ((), "")
    scheme, _, path = options.get("fluentd-address", "").partition("://")
    return ((path,), "") if kind == "fluentd" and scheme == "unix" else ((), "")


def _refusal(path: str) -> OSError | None:
    """Why nobody can be spoken to there; None when somebody can. One that is busy is there."""
    error: OSError | None = None
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with contextlib.closing(socket.socket(socket.AF_UNIX, kind)) as made:
            made.setblocking(False)
            try:
                made.connect(os.fsencode(path))
            except BlockingIOError:
                return None
            except OSError as problem:
                error = problem
                if problem.errno != errno.EPROTOTYPE:
                    break
            else:
                return None
    return error
