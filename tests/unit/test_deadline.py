"""Looks at paths that may never answer: the caller is told which one, and what comes later has no effect."""

import asyncio
import threading
import time

import pytest

from wardian.engine import deadline
from wardian.engine.deadline import At, look, look_from_thread
from wardian.engine.workers import Abandoned
from wardian.errors import SYSTEM, UNAVAILABLE, WardianError


def test_the_answer_and_the_error_of_a_look_are_the_callers() -> None:
    def fails(at: At) -> None:
        raise WardianError(SYSTEM, "as it is")

    assert asyncio.run(look(lambda at: 7, "start", "/here")) == 7
    with pytest.raises(WardianError, match="as it is"):
        asyncio.run(look(fails, "start", "/here"))


def test_what_does_not_answer_is_named_and_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "SECONDS", 0.1)
    answers, ended = threading.Event(), threading.Event()

    def job(at: At) -> None:
        at("/first")
        at("/second")
        answers.wait(10)
        try:
            at("/third")
        except Abandoned:
            ended.set()
            raise

    with pytest.raises(WardianError, match="/second does not answer"):
        asyncio.run(look(job, "start", "/here"))
    answers.set()
    assert ended.wait(5)


def _hangs(answers: threading.Event, of: str) -> str:
    with pytest.raises(WardianError) as caught:
        asyncio.run(look(lambda at: answers.wait(30), "exec", of))
    return caught.value.kind


def test_looks_that_hang_at_one_place_are_not_piled_up_and_are_no_others_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadline, "SECONDS", 0.05)
    answers = threading.Event()
    kinds = [_hangs(answers, "one") for _ in range(deadline._STUCK + 2)]
    assert kinds == [SYSTEM] * deadline._STUCK + [UNAVAILABLE] * 2
    assert _hangs(answers, "two") == SYSTEM
    monkeypatch.setattr(deadline, "SECONDS", 10)
    assert asyncio.run(look(lambda at: 7, "exec", "three")) == 7
    answers.set()
    while deadline._under_way:
        time.sleep(0.01)
    assert asyncio.run(look(lambda at: 7, "exec", "one")) == 7


def test_looks_that_are_answered_are_refused_only_far_beyond_what_may_hang() -> None:
    answers = threading.Event()

    async def many() -> list[bool]:
        looks = [asyncio.create_task(look(lambda at: answers.wait(10), "exec", "busy")) for _ in range(50)]
        await asyncio.sleep(0)
        answers.set()
        return await asyncio.gather(*looks)

    assert all(asyncio.run(many()))


def test_a_thread_waits_as_long_and_what_comes_later_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_from_thread(lambda at: 7, "cp", "/here", lambda found: None) == 7
    monkeypatch.setattr(deadline, "SECONDS", 0.1)
    answers, dropped = threading.Event(), threading.Event()

    def job(at: At) -> int:
        at("/gone")
        answers.wait(10)
        return 8

    with pytest.raises(WardianError, match="/gone does not answer"):
        look_from_thread(job, "cp", "/here", lambda found: dropped.set() if found == 8 else None)
    answers.set()
    assert dropped.wait(5)
