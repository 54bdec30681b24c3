"""When a store of things made ahead is filled up again: a thread makes them, and takes its orders from a queue.

A thread that wakes up takes the interpreter, and its making takes a processor, from who has just taken one and is in a
hurry. So while there are some left the order comes a moment later.

An order says only that some are missing: how many is seen in the store. So what could not be made, on a full disk say,
is tried again at the next order, and none comes of an order too many.
"""

import asyncio
import queue
from collections.abc import Callable

LATER = 0.02  # seconds

Orders = queue.SimpleQueue[bool]  # True: some are missing; False: end


def order(orders: Orders, some_left: bool) -> None:
    """Some are to be made. At once from a thread that has no event loop."""
    if some_left:
        try:
            asyncio.get_running_loop().call_later(LATER, orders.put, True)
            return
        except RuntimeError:
            pass
    orders.put(True)


def fill(orders: Orders, is_full: Callable[[], bool], make: Callable[[], bool]) -> None:
    """What the thread does until the end. `make` puts one into the store; False: it cannot now."""
    while orders.get():
        while not is_full() and make():
            pass
