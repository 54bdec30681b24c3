"""Docker's JSON progress stream: what a long operation emits, line by line; its error is the last line.

An error before the first line is not part of the stream: it is raised, and becomes the answer's status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from wardian.server.errors import explain_error, log_error
from wardian.server.messages import json_line

Emit = Callable[[dict[str, Any]], None]


async def progress_lines(
    operation: Callable[[Emit], Awaitable[None]], what: str, *, errors_are_lines: bool = False
) -> AsyncIterator[bytes]:
    """Runs `operation` with an `emit` and yields what it says. Closing the iterator cancels the operation.

    `errors_are_lines`: an error that comes first is a line, too; clients look for a load's and a push's there alone.
    """
    messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def run() -> None:
        try:
            await operation(messages.put_nowait)
        finally:
            messages.put_nowait(None)

    task = asyncio.create_task(run())
    begun = errors_are_lines
    try:
        while (message := await messages.get()) is not None:
            begun = True
            yield json_line(message)
        try:
            await task
        except Exception as error:
            if not begun:
                raise
            log_error(what, error)
            text = str(explain_error(error))
            yield json_line({"errorDetail": {"message": text}, "error": text})
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
