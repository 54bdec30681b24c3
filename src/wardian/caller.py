"""Who asked for the operation under way: set where a request comes in, read wherever a reason is kept.

A context variable, so that it travels with the operation's task and into its threads without being a parameter of
everything on the way. A task that outlives its request (a restart's timer, a health check) is nobody's: it is to be
started inside `unasked()`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_caller: ContextVar[str] = ContextVar("caller", default="")


def calling(text: str) -> None:
    """From here on, in this task, `text` asks ("uid 1000 pid 77 (docker)")."""
    _caller.set(text)


def caller() -> str:
    """Who asks; "" for the engine itself."""
    return _caller.get()


@contextmanager
def unasked() -> Iterator[None]:
    """What is started in this block is the engine's own doing."""
    token = _caller.set("")
    try:
        yield
    finally:
        _caller.reset(token)
