"""Threads for what takes long: a pull may hang on its registry for minutes, and ten of them hold up nothing else.

Each piece of work has a thread for itself as long as it takes (asyncio's shared executor has a handful, which uploads
and the end of lost containers need too), and the engine's end does not wait for it: what it staged is swept by the next
start. A thread that is done takes the next piece: to start one holds the event loop up until the kernel has run it,
milliseconds on a busy machine.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

Emit = Callable[[dict[str, Any]], None]
Result = TypeVar("Result")
Jobs = queue.SimpleQueue[Callable[[], None]]

_PATIENCE = 10.0  # seconds that a thread waits for more to do
_idle: list[Jobs] = []


class Abandoned(Exception):
    """Nobody waits for this work any more."""


async def work(
    job: Callable[[Emit], Result],
    emit: Emit,
    name: str,
    stop: Callable[[], None] = lambda: None,
    unwanted: Callable[[Result], object] = lambda _: None,
) -> Result:
    """Runs `job(progress)` in a thread; what it tells `progress` goes to `emit` in the event loop's thread.

    When the caller is cancelled (its client is gone), `stop` is called and `progress` raises in the thread: so ends
    the job. One that goes on to its end all the same has its result given to `unwanted`.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def progress(message: dict[str, Any]) -> None:
        if answer.cancelled() or loop.is_closed():
            raise Abandoned
        loop.call_soon_threadsafe(emit, message)

    def succeed(result: Result) -> None:
        if answer.done():
            unwanted(result)
        else:
            answer.set_result(result)

    def fail(error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)

    def run() -> None:
        try:
            outcome = partial(succeed, job(progress))
        except BaseException as error:
            outcome = partial(fail, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(outcome)

    _hand(run, name)
    try:
        return await answer
    except asyncio.CancelledError:
        stop()
        raise


def _hand(job: Callable[[], None], name: str) -> None:
    """To the thread that was idle last, or to a new one."""
    try:
        _idle.pop().put(job)
    except IndexError:
        jobs: Jobs = queue.SimpleQueue()
        jobs.put(job)
        threading.Thread(target=_serve, args=(jobs,), name=name, daemon=True).start()


def _serve(jobs: Jobs) -> None:
    while True:
        try:
            job = jobs.get(timeout=_PATIENCE)
        except queue.Empty:
            try:
                _idle.remove(jobs)
            except ValueError:  # it was just taken: a job is on its way
                continue
            return
        job()
        del job  # nor what it holds, while there is nothing to do
        _idle.append(jobs)
