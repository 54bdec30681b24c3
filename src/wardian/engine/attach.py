"""Attach: what a client asks for, and the session that takes its connected socket.

The engine never carries bytes. A session takes the client's socket with the bytes that were read past the request's
header and gives both to the supervisor; of a container that has not started they are kept and travel with the plan.
"""

from typing import NamedTuple

# docker's default, ctrl-p ctrl-q
DETACH_KEYS = b"\x10\x11"


class AttachOptions(NamedTuple):
    """The query of POST /containers/ID/attach. `logs` replays what was logged, `stream` follows what comes."""

    stream: bool = True
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    detach_keys: str = ""
