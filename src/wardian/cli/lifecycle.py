"""Verbs that do one thing to each of several containers: stop, kill, rm, wait."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.pflag import Flag
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wardian.cli.command import Invocation


def each(names: list[str], act: Callable[[str], str]) -> Iterator[tuple[str, Exception]]:
    """`act` on each name, and prints what it answers; gives the names that failed, each with its error."""
    for name in names:
        try:
            print(act(name), flush=True)
        except (WardianError, Failure) as error:
            yield name, error


def for_each(names: list[str], act: Callable[[str], str]) -> int:
    """`act` on each name and prints what it answers; errors are told at the end, all of them."""
    errors = [error_text(error) for _, error in each(names, act)]
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
        invocation.client.call("POST", f"/containers/{path_name(name)}/stop", query=query)
        return name

    return for_each(invocation.args, act)


def kill(invocation: Invocation) -> int:
    query = {"signal": invocation.text("signal") or None}

    def act(name: str) -> str:
        invocation.client.call("POST", f"/containers/{path_name(name)}/kill", query=query)
        return name

    return for_each(invocation.args, act)


def remove(invocation: Invocation) -> int:
    force = invocation.flag("force")
    query = {"force": force, "link": invocation.flag("link"), "v": invocation.flag("volumes")}

    def act(name: str) -> str:
        trimmed = name.strip("/")
        if not trimmed:
            raise Failure("Container name cannot be empty")
        invocation.client.call("DELETE", f"/containers/{trimmed}", query=query)
        return name

    if not force:
        return for_each(invocation.args, act)
    # With -f a container that is not there is told, and is no failure.
    code = 0
    for _, error in each(invocation.args, act):
        sys.stderr.write(f"{error_text(error)}\n")
        if getattr(error, "status", 0) != 404:
            code = 1
    return code


def wait(invocation: Invocation) -> int:
    from wardian.cli.streams import read_exit_code

    def act(name: str) -> str:
        container = f"containers/{path_name(name)}"
        with invocation.client.stream("POST", f"/{container}/wait") as waiting:
            return str(read_exit_code(invocation.client, container, waiting))

    return for_each(invocation.args, act)


_USAGE = "[OPTIONS] CONTAINER [CONTAINER...]"
_SIGNAL = Flag("signal", "s", "string", "", "Signal to send")
STOP = Command(
    stop,
    _USAGE,
    (
        _SIGNAL,
        Flag("time", "", "int", "", "Seconds until it is killed", deprecated="use --timeout instead"),
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
