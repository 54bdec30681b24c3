"""Verbs that do one thing to each of several containers: stop, kill, rm, wait."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wardian.cli.command import Invocation


def for_each(names: list[str], act: Callable[[str], str]) -> int:
    """`act` on each name and prints what it answers; errors are told at the end, all of them."""
    errors = []
    for name in names:
        try:
            print(act(name), flush=True)
        except WardianError as error:
            from wardian.cli import error_text

            errors.append(error_text(error))
        except Failure as failure:
            errors.append(failure.message)
    if errors:
        raise Failure("\n".join(errors))
    return 0


def stop(invocation: Invocation) -> int:
    seconds = invocation.number("timeout") if invocation.given("timeout") else invocation.number("time")
    query = {
        "signal": invocation.text("signal") or None,
        "t": str(seconds) if invocation.given("timeout") or invocation.given("time") else None,
    }

    def act(name: str) -> str:
        invocation.client.call("POST", f"/containers/{name}/stop", query=query)
        return name

    return for_each(invocation.args, act)


def kill(invocation: Invocation) -> int:
    query = {"signal": invocation.text("signal") or None}

    def act(name: str) -> str:
        invocation.client.call("POST", f"/containers/{name}/kill", query=query)
        return name

    return for_each(invocation.args, act)


def remove(invocation: Invocation) -> int:
    force = invocation.flag("force")
    query = {"force": force, "link": invocation.flag("link"), "v": invocation.flag("volumes")}
    missing = []

    def act(name: str) -> str:
        trimmed = name.strip("/")
        if not trimmed:
            raise Failure("Container name cannot be empty")
        invocation.client.call("DELETE", f"/containers/{trimmed}", query=query)
        return name

    if not force:
        return for_each(invocation.args, act)
    # With -f a container that is not there is told, and is no failure.
    there = []
    for name in invocation.args:
        try:
            there.append(act(name))
            print(name, flush=True)
        except WardianError as error:
            from wardian.cli import error_text

            missing.append(error)
            sys.stderr.write(f"{error_text(error)}\n")
    return int(any(getattr(error, "status", 0) != 404 for error in missing))


def wait(invocation: Invocation) -> int:
    from wardian.cli.streams import read_exit_code

    def act(name: str) -> str:
        with invocation.client.stream("POST", f"/containers/{name}/wait") as waiting:
            return str(read_exit_code(waiting))

    return for_each(invocation.args, act)


_USAGE = "[OPTIONS] CONTAINER [CONTAINER...]"
_SIGNAL = Flag("signal", "s", "string", "", "Signal to send")
STOP = Command(
    stop,
    _USAGE,
    (
        _SIGNAL,
        Flag("time", "", "int", "", "Seconds until it is killed", hidden=True),
        Flag("timeout", "t", "int", "", "Seconds until it is killed"),
    ),
    least=1,
)
KILL = Command(kill, _USAGE, (_SIGNAL,), least=1)
RM = Command(
    remove,
    _USAGE,
    (
        Flag("force", "f", "bool", "", "Kill it first if it runs"),
        Flag("link", "l", "bool", "", "Remove a link, not a container"),
        Flag("volumes", "v", "bool", "", "Remove its anonymous volumes too"),
    ),
    least=1,
)
WAIT = Command(wait, "CONTAINER [CONTAINER...]", least=1)
