"""A user namespace for a container that is to be, and a network namespace inside it, both by descriptor.

The engine cannot make one itself: unshare(2) of a user namespace is for processes with one thread, and nobody comes
back from it. A launcher does (launcher/spaces.c), has its ids mapped from here, and ends when we hold both namespaces.
That they are made before the container lets its layers be idmapped, and its network be set up, before anything runs.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

from wardian.errors import SYSTEM, WardianError
from wardian.runtime import ready

Range = tuple[int, int, int]  # first id inside, first id outside, how many
_DEADLINE = 10.0


class UserSpaces(NamedTuple):
    """Descriptors, the caller's to close; `network` is -1 when none was asked for."""

    user: int
    network: int = -1

    def close(self) -> None:
        for descriptor in self:
            if descriptor >= 0:
                os.close(descriptor)


def make_user_spaces(uids: Sequence[Range], gids: Sequence[Range], network: bool) -> UserSpaces:
    """Takes a few milliseconds: for a thread. Raises WardianError and leaves nothing."""
    control, process = ready.start("user+network" if network else "user")
    control.settimeout(_DEADLINE)
    opened: list[int] = []
    try:
        with control:
            _hear(control, b"u", "unshare(CLONE_NEWUSER)")
            opened.append(os.open(f"/proc/{process}/ns/user", os.O_RDONLY | os.O_CLOEXEC))
            _write_map(process, "uid_map", uids)
            _write_map(process, "gid_map", gids)
            control.send(b"m")
            _hear(control, b"n", "becoming its root")
            if network:
                opened.append(os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            control.send(b"m")
    except OSError as error:
        for descriptor in opened:
            os.close(descriptor)
        message = f"a user namespace cannot be made: {error.strerror or error}"
        hint = "see /proc/sys/user/max_user_namespaces" if not opened else ""
        raise WardianError(SYSTEM, message, operation="start", errno=error.errno or 0, hint=hint) from error
    finally:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, 0)
    return UserSpaces(*opened)


def _hear(control: socket.socket, word: bytes, what: str) -> None:
    if control.recv(1) != word:
        raise OSError(0, f"{what} failed")


def _write_map(process: int, name: str, ranges: Sequence[Range]) -> None:
    """user_namespaces(7): all of a map in one write."""
    text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in ranges)
    file = os.open(f"/proc/{process}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
