"""top: the processes of a container, from the host's /proc. Nothing is run, neither inside nor outside."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from wardian.engine.life.pausing import freezer_of
from wardian.engine.observe.ps_columns import COLUMNS, NAMING
from wardian.engine.observe.ps_forest import Leaf, forest
from wardian.engine.observe.ps_options import Wanted, read_ps_options
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.kernel.processes import Process, read_machine, read_process, read_threads


def top(parts: Parts, container: Container, ps_args: str) -> dict[str, Any]:
    """`Titles` and `Processes`. Raises WardianError."""
    wanted = read_ps_options(ps_args)
    machine = read_machine()
    found = (read_process(pid, machine) for pid in sorted(_pids(freezer_of(parts, container))))
    processes = [one for one in found if one is not None and _is_chosen(one, wanted)]
    for name in reversed(wanted.order):
        processes.sort(key=lambda one: _order(one, name.removeprefix("-")), reverse=name.startswith("-"))
    leaves = forest(processes, wanted.tree) if wanted.tree else [Leaf("", one) for one in processes]
    if wanted.threads:
        leaves = [Leaf(leaf.branch, one) for leaf in leaves for one in read_threads(leaf.process.pid, machine)]
    return {
        "Titles": [title for title, _ in wanted.columns],
        "Processes": [[_shown(name, leaf) for _, name in wanted.columns] for leaf in leaves],
    }


def _shown(name: str, leaf: Leaf) -> str:
    text = COLUMNS[name].show(leaf.process)
    return leaf.branch + text if name in NAMING else text


def _pids(group: str) -> Iterator[int]:
    """Of the group and those that the container made below it. One that goes meanwhile has none."""
    for directory, _, _ in os.walk(group):
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs") as file:
            yield from map(int, file.read().split())


def _is_chosen(process: Process, wanted: Wanted) -> bool:
    shown = ((COLUMNS[name].show(process), values) for name, values in wanted.chosen)
    return all(value in values for value, values in shown)


def _order(process: Process, name: str) -> tuple[float, str]:
    """Numbers as numbers, before words."""
    text = COLUMNS[name].show(process)
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text
