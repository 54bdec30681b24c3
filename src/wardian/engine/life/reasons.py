"""Why a container ended: the exit record and the signals that calls of this engine sent, as one sentence. Pure.

The kernel says which signal ended a process and not who sent it. What this engine sent it knows: each `Ask` is noted
before the signal goes. A signal without an ask came from the container itself or from a process of the host.
"""

from collections.abc import Sequence
from typing import NamedTuple

from wardian.engine.life.signals import signal_name
from wardian.runtime import SUPERVISOR_LOST, TIMEOUT, UNREADABLE, ExitRecord

_KEPT_ASKS = 4
_SHELLS_OWN = 128  # a shell answers 128+n for a command that signal n ended
_OWN_FAULTS = frozenset({4, 5, 6, 7, 8, 11, 31})  # ILL TRAP ABRT BUS FPE SEGV SYS
HOST_WENT_DOWN = "the host went down while the container ran"


class Ask(NamedTuple):
    """A signal that a call sent: by which operation, for whom ("uid 0 pid 12 (docker)"), at which unix ns.

    `dropped`: the kernel throws it away, as the first process neither handles nor waits for it (pid_namespaces(7)).
    """

    operation: str
    signal: int
    client: str
    at: int
    dropped: bool = False


def with_ask(asks: Sequence[Ask], ask: Ask) -> tuple[Ask, ...]:
    """The newest few."""
    return (*asks, ask)[-_KEPT_ASKS:]


def dropped_note(ask: Ask) -> str:
    """What is said of a signal that does nothing; "" of one that arrives."""
    if not ask.dropped:
        return ""
    return (
        f"{signal_name(ask.signal)} does nothing here: the container's first process has no handler for it "
        "(--init runs it below one that passes signals on)"
    )


def reason_of(record: ExitRecord, asks: Sequence[Ask]) -> str:
    """The sentence that `inspect` and `explain` show."""
    if record.reason == SUPERVISOR_LOST:
        return f"{SUPERVISOR_LOST}: the process that watched the container was killed, and the container ended with it"
    if record.reason == UNREADABLE:
        return f"{UNREADABLE}: it is damaged, or of a newer Wardian, and how the container ended is not known"
    if record.reason == TIMEOUT:
        return "its time was over (--timeout)"
    told = _told(record, asks)
    if record.oom_killed:
        victim = f"killed {record.oom_victim}" if record.oom_victim else "killed a process of it"
        return f"out of memory: the kernel {victim}; {told}"
    return told


def _told(record: ExitRecord, asks: Sequence[Ask]) -> str:
    if record.signal:
        return f"ended by {signal_name(record.signal)}{_sender(record, asks)}"
    text = f"exited with {record.exit_code}"
    number = record.exit_code - _SHELLS_OWN
    if 0 < number <= 64:
        text += f" (as shells do for a command that {signal_name(number)} ended)"
    arrived = [ask for ask in asks if not ask.dropped]
    return f"{text}, after {_asked(arrived[-1], arrived)}" if arrived else text


def _sender(record: ExitRecord, asks: Sequence[Ask]) -> str:
    found = [ask for ask in asks if ask.signal == record.signal]
    if found:
        return f": {_who(found[-1])}{_before(found[-1], asks)}"
    if record.signal in _OWN_FAULTS or record.oom_killed:
        return ""
    return ", sent by no call of this engine: by the container itself or a process of the host"


def _asked(ask: Ask, asks: Sequence[Ask]) -> str:
    return f"{signal_name(ask.signal)}: {_who(ask)}{_before(ask, asks)}"


def _who(ask: Ask) -> str:
    return f"{ask.operation} by {ask.client}" if ask.client else ask.operation


def _before(ask: Ask, asks: Sequence[Ask]) -> str:
    """The patient signal of the same operation that did not end it."""
    earlier = [one for one in asks if one.operation == ask.operation and one.at < ask.at and one.signal != ask.signal]
    if not earlier:
        return ""
    first = earlier[-1]
    why = ", for which its first process has no handler" if first.dropped else ""
    return f", {(ask.at - first.at) / 1e9:.0f} s after {signal_name(first.signal)}{why}"
