"""`explain`, and how `plan` is shown: the list of operations that make a container, numbered."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation


def explain(invocation: Invocation) -> int:
    form = invocation.text("format")
    render = None
    if form:
        from wardian.cli.system import template_for

        render = template_for(form, "explain")
    answer = invocation.client.call("GET", f"/wardian/containers/{invocation.args[0]}/explain")
    if not isinstance(answer, dict):
        raise Failure("the engine answered no plan")
    if render:
        sys.stdout.write(render(answer))
    else:
        show_plan(answer)
    return 0


def show_plan(answer: dict[str, Any]) -> None:
    """Prints the steps of a plan, each with its duration where it was carried out, and what went wrong."""
    steps = answer.get("ops") or answer.get("steps") or []
    timed = any(_nanoseconds(step) is not None for step in steps)
    width = len(str(len(steps)))
    for number, step in enumerate(steps):
        print(_line(number, step, width, timed))
    total = sum(_nanoseconds(step) or 0 for step in steps)
    if timed:
        print(f"{len(steps)} steps, {_microseconds(total)} in all")
    sys.stdout.flush()
    for warning in answer.get("warnings") or ():
        sys.stderr.write(f"WARNING: {warning}\n")


def _nanoseconds(step: dict[str, Any]) -> int | None:
    value = step.get("ns", step.get("duration_ns", step.get("nanoseconds")))
    return int(value) if value is not None else None


def _line(number: int, step: dict[str, Any], width: int, timed: bool) -> str:
    nanoseconds = _nanoseconds(step)
    duration = f"{_microseconds(nanoseconds) if nanoseconds is not None else '-':>12}  " if timed else ""
    text = f"{step.get('step', number):>{width}}  {duration}{_described(step)}"
    if step.get("errno"):
        text += f": {_error_name(int(step['errno']))}"
    if step.get("error"):
        text += f": {step['error']}"
    return text


def _described(step: dict[str, Any]) -> str:
    return str(step.get("description") or step.get("text") or step.get("op") or "")


def _microseconds(nanoseconds: int) -> str:
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
