"""A promise to start one exec, for the client whose socket comes, or for nobody."""

import os
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from wardian.engine.attach import parse_detach_keys
from wardian.engine.options import checks
from wardian.errors import WardianError
from wardian.runtime import Attacher

Launch = Callable[[tuple[int, int], Sequence[Attacher]], Awaitable[None]]


class ExecSession:
    """Made before any header of the answer is sent: what can be refused is refused here.

    `options` are those of create, `body` is that of start; `launch(size, attachers)` carries the exec out. Whether the
    stream has frames is for `body` to say, whatever the exec has: docker-py asks for them of a terminal too.
    """

    def __init__(self, options: Mapping[str, Any], body: Mapping[str, Any], launch: Launch) -> None:
        self.tty = checks.flag(body.get("Tty") or False, "Tty")
        self._options = options
        self._launch = launch
        asked = body.get("ConsoleSize") or options.get("ConsoleSize") or [0, 0]
        height, width = checks.size_pair(asked, "ConsoleSize")
        self._size = (height, width)
        self._keys = parse_detach_keys(options.get("DetachKeys", "")) if options.get("Tty") else b""

    async def hand_over(self, fd: int, early: bytes) -> None:
        """Start with `fd` attached, and take it over."""
        options = self._options
        attacher = Attacher(
            fd,
            early,
            options.get("AttachStdin", False),
            options.get("AttachStdout", False),
            options.get("AttachStderr", False),
            not self.tty,
            self._keys,
        )
        try:
            await self._launch(self._size, [attacher])
        except WardianError as error:
            # The head of the answer is out: only the stream itself can still say why.
            _say(fd, f"{error}\r\n".encode(), not self.tty)
            raise
        finally:
            os.close(fd)

    async def run_detached(self) -> None:
        await self._launch(self._size, [])


def _say(fd: int, text: bytes, framed: bool) -> None:
    """A last word on a client's socket, as docker's daemon has it: on stdout, framed when there is no terminal."""
    head = struct.pack(">BxxxL", 1, len(text)) if framed else b""
    try:
        os.write(fd, head + text)
    except OSError:
        pass  # nobody listens any more
