"""How execs ended, known by their ids for a while: docker's CLI asks for the exit code after the stream's end.

Each is kept as the bytes of its answer. With its container, its options and its task a thousand of them were ten
megabytes, and what lives five minutes among what lives a moment keeps a heap from being used again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

_FORGET_AFTER = 300.0  # seconds; then nobody asks any more
_MOST = 1000  # known so long: who starts more in that time would have the engine grow by them


class Ended:
    """`forget(id)` is called for each that is known no more."""

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        # when it goes, by the loop's clock; oldest first. A dict finds its first slowly where others were before it.
        self._answers: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, identity: str, answer: dict[str, Any]) -> None:
        self._answers[identity] = (asyncio.get_running_loop().time() + _FORGET_AFTER, msgspec.json.encode(answer))
        if len(self._answers) > _MOST:
            self._drop_oldest()
        if self._timer is None:
            self._drop_due()

    def __contains__(self, identity: str) -> bool:
        return identity in self._answers

    def answer(self, identity: str) -> dict[str, Any] | None:
        found = self._answers.get(identity)
        if found is None:
            return None
        answer: dict[str, Any] = msgspec.json.decode(found[1])
        return answer

    def _drop_oldest(self) -> None:
        identity, _ = self._answers.popitem(last=False)
        self._forget(identity)

    def _drop_due(self) -> None:
        """Those whose time has come, and again when that of the next has."""
        loop = asyncio.get_running_loop()
        while (due := self._next_due()) is not None and due <= loop.time():
            self._drop_oldest()
        self._timer = loop.call_at(due, self._drop_due) if due is not None else None

    def _next_due(self) -> float | None:
        return next((due for due, _ in self._answers.values()), None)
