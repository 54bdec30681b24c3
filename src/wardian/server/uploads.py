"""A request's body as a file: what comes over the wire piece by piece, and is then read from any place (an archive).

The file has no name (O_TMPFILE) and lies on the data root's file system: nothing is left behind, whatever happens, and
an upload does not fill the engine's memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from wardian.descriptors import write_all
from wardian.server.body import Body

_BATCH = 1 << 20


@asynccontextmanager
async def spooled(body: Body, directory: str) -> AsyncIterator[BinaryIO]:
    """The whole body in an unnamed file below `directory`, at its start."""
    fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w+b", buffering=0) as raw:
        batch, size = [], 0
        async for piece in body:
            batch.append(piece)
            size += len(piece)
            if size >= _BATCH:
                await asyncio.to_thread(write_all, raw.fileno(), b"".join(batch))
                batch, size = [], 0
        await asyncio.to_thread(write_all, raw.fileno(), b"".join(batch))
        raw.seek(0)
        yield raw
