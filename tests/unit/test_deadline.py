"""Looks at paths that may never answer: the caller is told which one, and what comes later has no effect."""

import asyncio
import threading

import pytest

from wardian.engine import deadline
from wardian.engine.deadline import At, look, look_from_thread
from wardian.engine.workers import Abandoned
from wardian.errors import SYSTEM, UNAVAILABLE, WardianError


def test_the_answer_and_the_error_of_a_look_are_the_callers() -> None:
    def fails(at: At) -> None:
        raise WardianError(SYSTEM, "as it is")

    assert asyncio.run(look(lambda at: 7, "start")) == 7
    with pytest.raises(WardianError, match="as it is"):
        asyncio.run(look(fails, "start"))


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
        asyncio.run(look(job, "start"))
    answers.set()
    assert ended.wait(5)


def test_looks_that_hang_are_not_piled_up_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "SECONDS", 0.1)
    monkeypatch.setattr(deadline, "_MOST", 2)
    answers = threading.Event()
    for _ in range(2):
        with pytest.raises(WardianError):
            asyncio.run(look(lambda at: answers.wait(10), "start"))
    with pytest.raises(WardianError) as caught:
        asyncio.run(look(lambda at: answers.wait(10), "start"))
    assert caught.value.kind == UNAVAILABLE
    answers.set()


def test_a_thread_waits_as_long_and_what_comes_later_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_from_thread(lambda at: 7, "cp", lambda found: None) == 7
    monkeypatch.setattr(deadline, "SECONDS", 0.1)
    answers, dropped = threading.Event(), threading.Event()

    def job(at: At) -> int:
        at("/gone")
        answers.wait(10)
        return 8

    with pytest.raises(WardianError, match="/gone does not answer"):
        look_from_thread(job, "cp", lambda found: dropped.set() if found == 8 else None)
    answers.set()
    assert dropped.wait(5)
