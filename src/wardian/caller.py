"""Who asked for the operation under way: set where a request comes in, read wherever a reason is kept.

A context variable, so that it travels with the operation's task and into its threads without being a parameter of
everything on the way. A task that outlives its request (a restart's timer, a health check) is nobody's: it is to be
started inside `unasked()`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_caller: ContextVar[object] = ContextVar("caller", default="")


def calling(who: object) -> None:
    """From here on, in this task, `who` asks: in words, `str(who)` ("uid 1000 pid 77 (docker)")."""
    _caller.set(who)


def caller() -> str:
    """Who asks; "" for the engine itself."""
    return str(_caller.get())


@contextmanager
def unasked() -> Iterator[None]:
    """What is started in this block is the engine's own doing."""
    token = _caller.set("")
    try:
        yield
    finally:
        _caller.reset(token)
