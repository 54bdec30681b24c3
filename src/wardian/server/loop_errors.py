"""What asyncio tells of errors that are nobody's answer. accept(2) without a descriptor left is tried again a second
later, and told by asyncio for each connection that waits, thousands of lines: here it is told once a while."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from typing import Any

log = logging.getLogger("wardian.server")

_AGAIN = 60.0
_LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class LoopErrors:
    """An event loop's exception handler."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _LACKING and "socket" in context):
            loop.default_exception_handler(context)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _AGAIN
            log.error("clients wait, as their connections cannot be taken: %s", error.strerror)
