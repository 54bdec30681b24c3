"""`explain`, and how `plan` is shown: the operations that make a container, numbered, and before them its networks'."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure, path_name
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from wardian.cli.command import Invocation


def explain(invocation: Invocation) -> int:
    form = invocation.text("format")
    render = None
    if form:
        from wardian.cli.system import template_for

        render = template_for(form, "explain")
    answer = invocation.client.call("GET", f"/wardian/containers/{path_name(invocation.args[0])}/explain")
    if not isinstance(answer, dict):
        raise Failure("the engine answered no plan")
    if render:
        sys.stdout.write(render(answer))
    else:
        show_plan(answer)
    return 0


def show_plan(answer: dict[str, Any]) -> None:
    """Prints the steps, each with its phase; with its duration and what went wrong where they were carried out."""
    steps = answer.get("Steps") or []
    timed = any("Nanoseconds" in step for step in steps)
    width = len(str(len(steps)))
    _show_network(answer.get("Network") or (), width)
    for step in steps:
        print(_line(step, width, timed))
    if timed:
        _show_end(answer, steps)
    for change in answer.get("Changes") or ():
        _show_change(change, width)
    _show_last(answer.get("End") or {})
    sys.stdout.flush()
    for warning in answer.get("Warnings") or ():
        sys.stderr.write(f"WARNING: {warning}\n")


def _show_last(end: dict[str, Any]) -> None:
    """Why it ended, and who sent which signal."""
    if not end:
        return
    print(f"\nend: {end['Reason']}")
    for sent in end["Signals"]:
        who = f" by {sent['Client']}" if sent["Client"] else ""
        dropped = ", which its first process has no handler for" if sent["Dropped"] else ""
        print(f"{sent['Signal']} at {sent['Time']}: {sent['Operation']}{who}{dropped}")
    if end["Restarts"]:
        print(f"restarted {end['Restarts']} times by its policy")


def _show_network(steps: Iterable[dict[str, Any]], width: int) -> None:
    for done in steps:
        what = f"{done['Kind']}: {done['Description']}"
        took = f"{duration_text(done['Nanoseconds']):>11}  " if "Nanoseconds" in done else ""
        print(f"{'':{width}}  {'net':<5}  {took}{what}")


def _show_change(change: dict[str, Any], width: int) -> None:
    import time

    preposition = "to" if change["Action"] == "connect" else "from"
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(change["Time"] // 1_000_000_000))
    print(f"\n{change['Action']} {preposition} {change['Network']}, {at}")
    _show_network(change["Steps"], width)


def _line(step: dict[str, Any], width: int, timed: bool) -> str:
    text = f"{step['Step']:>{width}}  {step.get('Phase', ''):<5}  "
    if timed:
        took = step.get("Nanoseconds")
        text += f"{duration_text(took) if took is not None else 'not reached':>11}  "
    text += str(step["Description"])
    if step.get("Errno"):
        text += f": {_error_name(int(step['Errno']))}"
    if step.get("Text"):
        text += f" ({step['Text']})"
    return text


def _show_end(answer: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    total = sum(step.get("Nanoseconds") or 0 for step in steps)
    print(f"\n{len(steps)} steps, {duration_text(total)} in all")
    if answer.get("Network"):
        # Without a sum: those that were one transaction have each the time of all. The phase "network" is the whole.
        print(f"{len(answer['Network'])} for its networks")
    for phase in answer.get("Phases") or ():
        print(f"{phase['Name']}: {duration_text(phase['Nanoseconds'])}")
    if answer.get("Error"):
        where = answer.get("FailedStep")
        print(f"failed{f' at step {where}' if where is not None else ''}: {answer['Error']}")


def duration_text(nanoseconds: int) -> str:
    """A duration with at most four digits: 0.4 µs is 0 µs, 12 ms is 12.0 ms."""
    return f"{nanoseconds / 1000:.0f} µs" if nanoseconds < 10_000_000 else f"{nanoseconds / 1_000_000:.1f} ms"


def _error_name(number: int) -> str:
    import errno
    import os

    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"


EXPLAIN = Command(
    explain,
    "[OPTIONS] CONTAINER",
    (Flag("format", "f", "string", "", "'json', or a Go template"),),
    least=1,
    most=1,
)
