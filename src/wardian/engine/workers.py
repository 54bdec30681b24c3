"""Threads for what takes long: a pull may hang on its registry for minutes, and ten of them hold up nothing else.

Each piece of work has a thread of its own (asyncio's shared executor has a handful, which uploads and the end of lost
containers need too), and the engine's end does not wait for it: what it staged is swept by the next start.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Emit = Callable[[dict[str, Any]], None]
Result = TypeVar("Result")


class Abandoned(Exception):
    """Nobody waits for this work any more."""


async def work(job: Callable[[Emit], Result], emit: Emit, name: str, stop: Callable[[], None] = lambda: None) -> Result:
    """Runs `job(progress)` in a thread; what it tells `progress` goes to `emit` in the event loop's thread.

    When the caller is cancelled (its client is gone), `stop` is called and `progress` raises in the thread: so ends
    the job.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def progress(message: dict[str, Any]) -> None:
        if answer.cancelled() or loop.is_closed():
            raise Abandoned
        loop.call_soon_threadsafe(emit, message)

    def settle(setter: Callable[[Any], None], value: object) -> None:
        if not answer.done():
            setter(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], object] = answer.set_result, job(progress)
        except BaseException as error:
            outcome = answer.set_exception, error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await answer
    except asyncio.CancelledError:
        stop()
        raise
