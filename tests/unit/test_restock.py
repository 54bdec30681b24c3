"""When what was taken from a store is made again."""

import asyncio
import queue
import time

from wardian import restock
from wardian.restock import Orders, order


def test_an_empty_store_is_filled_at_once() -> None:
    orders: Orders = queue.SimpleQueue()

    async def take() -> None:
        order(orders, some_left=False)
        assert orders.get_nowait()

    asyncio.run(take())


def test_while_some_are_left_nobody_is_woken_for_a_moment() -> None:
    orders: Orders = queue.SimpleQueue()

    async def take() -> float:
        begun = time.monotonic()
        order(orders, some_left=True)
        assert orders.empty()
        while orders.empty():
            await asyncio.sleep(0.001)
        return time.monotonic() - begun

    assert asyncio.run(take()) >= restock.LATER


def test_without_an_event_loop_it_is_asked_for_at_once() -> None:
    orders: Orders = queue.SimpleQueue()
    order(orders, some_left=True)
    assert orders.get_nowait()
