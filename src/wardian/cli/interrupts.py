"""Ctrl-C while an answer is awaited that may not get lost."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an import of enum


class Interrupts:
    """Between `hold` and `release` a first Ctrl-C waits for `release`; a second one ends the command at once."""

    def __init__(self) -> None:
        self._came = False
        self._held = False

    def hold(self) -> None:
        # A command that was started with Ctrl-C ignored (in a script's background) keeps it so.
        if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
            self._held = True
            _signal.signal(_signal.SIGINT, self._note)

    def release(self) -> None:
        """Raises the KeyboardInterrupt that was held back."""
        if self._held:
            self._held = False
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        if self._came:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: object) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True
