"""When a store of things made ahead is filled up again: a thread makes them, and takes its orders from a queue.

A thread that wakes up takes the interpreter, and its making takes a processor, from who has just taken one and is in a
hurry. So while there are some left the order comes a moment later.
"""

import asyncio
import queue

LATER = 0.02  # seconds

Orders = queue.SimpleQueue[bool]  # True: make one; False: end


def order(orders: Orders, some_left: bool) -> None:
    """One more is to be made. At once from a thread that has no event loop."""
    if some_left:
        try:
            asyncio.get_running_loop().call_later(LATER, orders.put, True)
            return
        except RuntimeError:
            pass
    orders.put(True)
