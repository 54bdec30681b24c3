"""Engines of other hosts by ssh(1), as docker's command does it: `ssh HOST wardian system dial-stdio` for a connection.

Its stdin and stdout are one end of a socket pair, and its stderr is ours: what ssh says of keys and hosts is read by
the person. It has a session of its own, so that Ctrl-C at this terminal does not take the tunnel away before what it
asks for has come; so ssh can ask no question: keys, or an agent, are how one signs in.
"""

from __future__ import annotations

import _socket
import os
import sys

from wardian.errors import UNAVAILABLE, WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.client.hosts import SshTarget


def dial(target: SshTarget) -> _socket.socket:
    """A socket whose other end is ssh's. Raises WardianError when there is no ssh."""
    ours, theirs = _socket.socketpair()
    try:
        pid = os.posix_spawnp(
            "ssh",
            ["ssh", *target.words, remote_command(target.path)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1),
            ],
            setsid=True,
        )
    except OSError as error:
        ours.close()
        raise WardianError(
            UNAVAILABLE, f"cannot run ssh to reach {target}: {error.strerror}", operation="connect", subject=str(target)
        ) from error
    finally:
        theirs.close()
    sys.stderr.flush()
    target.trouble = f"see what ssh said (process {pid}); `wardian system dial-stdio` must be a command there"
    return ours


def remote_command(path: str) -> str:
    """What the shell at the other side is given; `path` is quoted for it."""
    if not path:
        return "wardian system dial-stdio"
    quoted = "'" + path.replace("'", "'\\''") + "'"
    return f"wardian --host unix://{quoted} system dial-stdio"
