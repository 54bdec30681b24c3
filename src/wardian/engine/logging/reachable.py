"""Whether somebody can listen to a container's log on this host, asked when it starts.

A socket of this host that is not there is a mistake that is told at once, in Docker's words: nobody would ever get the
lines. A server elsewhere that is down may come back: its lines wait (followers.py), and whoever creates the container
is warned.
"""

import asyncio
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

_PATIENCE = 1.0


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


async def warnings_of(log: Mapping[str, Any]) -> list[str]:
    """At create: of a server that takes no connection within a second. UDP says nothing."""
    place = _server(log["Type"], log["Config"])
    if place is None:
        return []
    name = f"{place[0]}:{place[1]}"
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(*place)
    except (OSError, ValueError) as error:
        reason = f"no answer within {_PATIENCE:g} s" if isinstance(error, TimeoutError) else str(error)
        return [
            f"{log['Type']} at {name} takes no connection: lines wait in the container's log until it does ({reason})"
        ]
    writer.close()
    return []


def _server(kind: str, options: Mapping[str, str]) -> tuple[str, int] | None:
    if kind == "syslog":
        address, usual = urlsplit(options.get("syslog-address", "")), 514
    elif kind == "fluentd":
        text = options.get("fluentd-address") or "127.0.0.1"
        address, usual = urlsplit(text if "://" in text else f"tcp://{text}"), 24224
    else:
        return None
    if address.scheme not in ("tcp", "tls", "tcp+tls"):
        return None
    return address.hostname or "127.0.0.1", address.port or usual


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
