"""When a store of things made ahead is filled up again: the thread that makes them takes its orders here."""

import queue
from collections.abc import Callable, Iterator

LATER = 0.02  # seconds: who took one is in a hurry, and the making of the next would take a processor from it


def orders(wanted: "queue.SimpleQueue[bool]", in_store: Callable[[], bool]) -> Iterator[None]:
    """Once for each thing that is to be made, until False comes; for ever, so for a thread of its own.

    While there are some in store it waits a moment first, or for the second to be taken: then both are made.
    """
    while wanted.get():
        owed = 1
        if in_store():
            try:
                if not wanted.get(timeout=LATER):
                    return
                owed = 2
            except queue.Empty:
                pass
        for _ in range(owed):
            yield
