"""Processes in the order of a tree, as `ps --forest` and `ps -H` have them. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wardian.kernel.processes import Process


class Leaf(NamedTuple):
    """`branch` goes before the process's command."""

    branch: str
    process: Process


def forest(processes: Sequence[Process], style: str) -> list[Leaf]:
    """Children after their parent, each family in the order given. Who has no parent among them begins a tree: the
    container's first process, and what `exec` started."""
    here = {process.pid for process in processes}
    children: dict[int, list[Process]] = {}
    for process in processes:
        parent = process.number(4)
        children.setdefault(parent if parent in here else 0, []).append(process)
    return [Leaf(_drawn(path, style), process) for path, process in _walk(children)]


def _walk(children: dict[int, list[Process]]) -> Iterator[tuple[tuple[bool, ...], Process]]:
    """With each process, for it and each parent below the top: whether a brother follows. A stack of its own: a
    container decides how deep its tree is."""
    waiting: list[tuple[tuple[bool, ...], Process]] = [((), one) for one in reversed(children.get(0, []))]
    while waiting:
        path, process = waiting.pop()
        yield path, process
        family = children.get(process.pid, [])
        rows = [((*path, at < len(family) - 1), child) for at, child in enumerate(family)]
        waiting.extend(reversed(rows))


def _drawn(path: tuple[bool, ...], style: str) -> str:
    if style == "spaces" or not path:
        return "  " * len(path)
    return "".join(" |  " if follows else "    " for follows in path[:-1]) + " \\_ "
