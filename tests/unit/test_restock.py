"""When what was taken from a store is made again."""

import queue
import threading
import time

from wardian import restock
from wardian.restock import orders

Wanted = queue.SimpleQueue[bool]


def _wanted(*answers: bool) -> Wanted:
    wanted = Wanted()
    for answer in answers:
        wanted.put(answer)
    return wanted


def test_an_empty_store_is_filled_at_once() -> None:
    made: list[None] = []
    for _ in orders(_wanted(True, True, True, False), lambda: False):
        made.append(None)
    assert len(made) == 3


def test_with_some_in_store_two_are_made_together() -> None:
    stored = [False, True]
    taken = orders(_wanted(True, True, True, False), lambda: stored.pop(0))
    assert len(list(taken)) == 3 and not stored, "the store is not looked at between the two"


def test_an_end_while_it_waits_makes_no_more() -> None:
    assert not list(orders(_wanted(True, False), lambda: True))
    assert not list(orders(_wanted(False, True), lambda: True))


def test_one_alone_is_made_after_a_moment() -> None:
    wanted, begun = _wanted(True), time.monotonic()
    taken = orders(wanted, lambda: True)
    next(taken)
    assert time.monotonic() - begun >= restock.LATER
    wanted.put(False)
    assert not list(taken)


def test_who_has_no_order_waits_for_one() -> None:
    wanted, made = Wanted(), threading.Semaphore(0)
    thread = threading.Thread(target=lambda: [made.release() for _ in orders(wanted, lambda: False)])
    thread.start()
    wanted.put(True)
    assert made.acquire(timeout=30)
    wanted.put(False)
    thread.join(30)
    assert not thread.is_alive() and not made.acquire(blocking=False)
