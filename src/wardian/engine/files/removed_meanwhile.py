"""Who reads or writes a container's files while it is removed: neither waits for the other.

A removal takes the files away under whoever has them in hand, however long that one dawdles. What was read then lacks
entries: it is cut off (a body without its end, an image that is not made), and never passed off as whole. So the state
says "removing" before the first file goes (`Lifecycle.remove`), and is looked at after the last one was read.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from wardian.engine.life.state import State
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, NOT_FOUND, WardianError

Item = TypeVar("Item")


def refuse_removed(container: Container) -> None:
    """Raises WardianError: NOT_FOUND, or CONFLICT where a removal that failed may have taken some of it."""
    if container.state.state is State.REMOVING:
        raise WardianError(NOT_FOUND, f"No such container: {container.id}", operation="find", subject=container.id)
    if container.state.state is State.DEAD:
        message = f"container {container.id} is dead: its removal failed"
        raise WardianError(CONFLICT, message, operation="find", subject=container.id, hint="remove it again")


@contextmanager
def whole(container: Container) -> Iterator[None]:
    """What is done in here was done with all of the container's files, or it raises as above."""
    refuse_removed(container)
    try:
        yield
    except (OSError, WardianError):  # it is what the removal took that is missing
        refuse_removed(container)
        raise
    refuse_removed(container)


def while_there(container: Container, items: Iterable[Item]) -> Iterator[Item]:
    """Ends early, with the error, when the container goes."""
    for item in items:
        refuse_removed(container)
        yield item
