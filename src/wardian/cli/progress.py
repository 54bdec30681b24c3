"""The progress of a pull or a load: a line for each layer on a terminal, one for each change of state elsewhere."""

from __future__ import annotations

import os

from wardian.cli.human import size_text
from wardian.client.console import terminal_size
from wardian.descriptors import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BAR = 50
_WIDE = 110  # columns from which there is room for the bar


def make_display(fd: int, quiet: bool) -> Display:
    if quiet:
        return Display(fd)
    return Lines(fd) if not os.isatty(fd) else Screen(fd)


class Display:
    """Shows nothing (--quiet)."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def show(self, message: dict[str, Any]) -> None:
        """One message of the engine's stream."""

    def close(self) -> None:
        """No more will come."""

    def write(self, text: str) -> None:
        write_all(self.fd, text.encode())


class Lines(Display):
    """Plain lines. A layer's counting is left out; docker leaves it out too when nobody watches."""

    def show(self, message: dict[str, Any]) -> None:
        if "stream" in message:
            self.write(str(message["stream"]))
        elif not message.get("progressDetail"):
            self.write(f"{_head(message)}{message.get('status', '')}\n")


class Screen(Display):
    """A terminal: a layer's line is written again where it stands, by moving the cursor there and back."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._rows: dict[str, int] = {}

    def show(self, message: dict[str, Any]) -> None:
        if "stream" in message:
            self._rows.clear()
            self.write(str(message["stream"]))
            return
        identity = str(message.get("id", ""))
        text = f"{_head(message)}{message.get('status', '')}"
        if not identity or "progressDetail" not in message:
            # A line about the whole: what stands above it stays, and it may be as long as it is.
            self._rows.clear()
            self.write(f"{text}\n")
            return
        size = terminal_size(self.fd)
        columns = size[1] if size else 80
        # A line that wraps would be two rows: the cursor's way would be wrong from then on.
        text = f"{text}{_counted(message, columns >= _WIDE)}"[: columns - 1]
        if identity not in self._rows:
            self._rows[identity] = len(self._rows)
            self.write(f"{text}\n")
        else:
            up = len(self._rows) - self._rows[identity]
            self.write(f"\x1b[{up}A\x1b[2K\r{text}\x1b[{up}B\r")


def _counted(message: dict[str, Any], bar: bool) -> str:
    """How far a layer is: a bar where there is room, and the bytes of how many."""
    detail = message.get("progressDetail") or {}
    current, total = detail.get("current") or 0, detail.get("total") or 0
    if not current and not total:
        return ""
    if not total:
        return f" {size_text(current, 4):>8}"
    done = min(current, total) * _BAR // total
    drawn = f" [{'=' * done}>{' ' * (_BAR - done)}]" if bar else ""
    return f"{drawn} {size_text(current, 4):>8}/{size_text(total, 4)}"


def _head(message: dict[str, Any]) -> str:
    return f"{message['id']}: " if message.get("id") else ""
