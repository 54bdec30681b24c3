"""Why a container ended, in one sentence."""

import pytest

from wardian.engine.life.reasons import Ask, dropped_note, reason_of, with_ask
from wardian.runtime import ExitRecord

WHO = "uid 0 pid 12 (docker)"
TERM = Ask("stop", 15, WHO, 10_000_000_000)
KILL = Ask("stop", 9, WHO, 20_100_000_000)


def ended(code=0, signal=0, reason="exited", oom=False, victim=""):
    return ExitRecord(1, code, signal, oom, int(oom), victim, 0, 0, 0, 0, reason)


@pytest.mark.parametrize(
    ("record", "asks", "sentence"),
    [
        (ended(3), (), "exited with 3"),
        (ended(143), (), "exited with 143 (as shells do for a command that SIGTERM ended)"),
        (ended(0), (TERM,), f"exited with 0, after SIGTERM: stop by {WHO}"),
        (ended(137, 9, "signal"), (TERM, KILL), f"ended by SIGKILL: stop by {WHO}, 10 s after SIGTERM"),
        (
            ended(137, 9, "signal"),
            (TERM._replace(dropped=True), KILL),
            f"ended by SIGKILL: stop by {WHO}, 10 s after SIGTERM, for which its first process has no handler",
        ),
        (ended(0), (TERM._replace(dropped=True),), "exited with 0"),
        (
            ended(137, 9, "signal"),
            (),
            "ended by SIGKILL, sent by no call of this engine: by the container itself or a process of the host",
        ),
        (ended(139, 11, "signal"), (), "ended by SIGSEGV"),
        (
            ended(137, 9, "out of memory", True, "sh (pid 7)"),
            (),
            "out of memory: the kernel killed sh (pid 7); ended by SIGKILL",
        ),
        (ended(1, 0, "exited", True), (), "out of memory: the kernel killed a process of it; exited with 1"),
        (ended(137, 9, "timeout"), (), "its time was over (--timeout)"),
        (
            ended(137, 9, "exit record unreadable"),
            (),
            "exit record unreadable: it is damaged, or of a newer Wardian, and how the container ended is not known",
        ),
        (
            ended(137, 9, "supervisor lost"),
            (),
            "supervisor lost: the process that watched the container was killed, and the container ended with it",
        ),
    ],
)
def test_the_sentence(record, asks, sentence):
    assert reason_of(record, asks) == sentence


def test_the_newest_asks_are_kept():
    asks = ()
    for number in range(1, 9):
        asks = with_ask(asks, TERM._replace(signal=number))
    assert [ask.signal for ask in asks] == [5, 6, 7, 8]


def test_a_signal_that_arrives_needs_no_note():
    assert dropped_note(TERM) == ""
    assert dropped_note(TERM._replace(dropped=True)).startswith("SIGTERM does nothing here")
