"""How execs ended, known by their ids for a while: docker's CLI asks for the exit code after the stream's end.

Each is kept as the bytes of its answer. With its container, its options and its task a thousand of them were ten
megabytes, and what lives five minutes among what lives a moment keeps a heap from being used again.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

_FORGET_AFTER = 300.0  # seconds; then nobody asks any more
_MOST = 1000  # known so long: who starts more in that time would have the engine grow by them


class Ended:
    """`forget(id)` is called for each that is known no more."""

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        self._answers: dict[str, tuple[float, bytes]] = {}  # when it goes, by the loop's clock; oldest first
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, identity: str, answer: dict[str, Any]) -> None:
        self._answers[identity] = (asyncio.get_running_loop().time() + _FORGET_AFTER, msgspec.json.encode(answer))
        if len(self._answers) > _MOST:
            self._drop(next(iter(self._answers)))
        if self._timer is None:
            self._drop_due()

    def answer(self, identity: str) -> dict[str, Any] | None:
        found = self._answers.get(identity)
        if found is None:
            return None
        answer: dict[str, Any] = msgspec.json.decode(found[1])
        return answer

    def _drop(self, identity: str) -> None:
        del self._answers[identity]
        self._forget(identity)

    def _drop_due(self) -> None:
        """Those whose time has come, and again when that of the next has."""
        loop = asyncio.get_running_loop()
        for identity in [one for one, (due, _) in self._answers.items() if due <= loop.time()]:
            self._drop(identity)
        oldest = next(iter(self._answers.values()), None)
        self._timer = loop.call_at(oldest[0], self._drop_due) if oldest is not None else None
