"""Verbs that do one thing to each of several containers: stop, restart, kill, pause, unpause, update, rm, wait."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.pflag import Flag
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wardian.cli.command import Invocation


_AT_ONCE = 50  # as docker's command line


def each(names: list[str], act: Callable[[str], str], at_once: bool = False) -> Iterator[tuple[str, Exception]]:
    """`act` on each name, and prints what it answers in their order; gives the names that failed, each with its error.

    `at_once`: on many together, in threads, so each needs a connection of its own. Ten stops that take ten seconds
    each take ten seconds."""
    tried = _side_by_side(names, act) if at_once and len(names) > 1 else (_tried(act, name) for name in names)
    for name, (said, error) in zip(names, tried, strict=True):
        if error is None:
            print(said, flush=True)
        else:
            yield name, error


def _tried(act: Callable[[str], str], name: str) -> tuple[str, Exception | None]:
    try:
        return act(name), None
    except (WardianError, Failure) as error:
        return "", error


def _side_by_side(names: list[str], act: Callable[[str], str]) -> Iterator[tuple[str, Exception | None]]:
    """In threads that nobody waits for: a pool's would keep Ctrl-C waiting until the engine has answered them all."""
    import threading

    results: list[tuple[str, Exception | None] | BaseException | None] = [None] * len(names)
    ended = [threading.Event() for _ in names]
    numbers, turn = iter(range(len(names))), threading.Lock()

    def work() -> None:
        while True:
            with turn:
                number = next(numbers, None)
            if number is None:
                return
            try:
                results[number] = _tried(act, names[number])
            except BaseException as error:
                results[number] = error
            ended[number].set()

    for _ in range(min(_AT_ONCE, len(names))):
        threading.Thread(target=work, daemon=True).start()
    for number, event in enumerate(ended):
        event.wait()
        result = results[number]
        if isinstance(result, BaseException):
            raise result
        assert result is not None, "it has ended"
        yield result


def for_each(names: list[str], act: Callable[[str], str], at_once: bool = False) -> int:
    """`act` on each name and prints what it answers; errors are told at the end, all of them."""
    errors = [error_text(error) for _, error in each(names, act, at_once)]
    if errors:
        raise Failure("\n".join(errors))
    return 0


def stop(invocation: Invocation) -> int:
    return _signal_each(invocation, "stop", _patience(invocation))


def restart(invocation: Invocation) -> int:
    return _signal_each(invocation, "restart", _patience(invocation))


def _patience(invocation: Invocation) -> dict[str, object]:
    seconds = invocation.number("timeout") if invocation.given("timeout") else invocation.number("time")
    return {
        "signal": invocation.text("signal") or None,
        "t": str(seconds) if invocation.given("timeout") or invocation.given("time") else None,
    }


def kill(invocation: Invocation) -> int:
    return _signal_each(invocation, "kill", {"signal": invocation.text("signal") or None})


def _signal_each(invocation: Invocation, verb: str, query: dict[str, object]) -> int:
    """What the engine notes, that the signal does nothing, say, is told on stderr."""

    client = invocation.client

    def act(name: str) -> str:
        with client.stream("POST", f"/containers/{path_name(name)}/{verb}", query=query) as answer:
            note = answer.headers.get("wardian-note")
        if note:
            sys.stderr.write(f"{name}: {note}\n")
        return name

    return for_each(invocation.args, act, at_once=verb != "restart")


def remove(invocation: Invocation) -> int:
    force, client = invocation.flag("force"), invocation.client
    query = {"force": force, "link": invocation.flag("link"), "v": invocation.flag("volumes")}

    def act(name: str) -> str:
        trimmed = name.strip("/")
        if not trimmed:
            raise Failure("Container name cannot be empty")
        client.stream("DELETE", f"/containers/{trimmed}", query=query).close()
        return name

    if not force:
        return for_each(invocation.args, act, at_once=True)
    # With -f a container that is not there is told, and is no failure.
    code = 0
    for _, error in each(invocation.args, act, at_once=True):
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


def pause(invocation: Invocation) -> int:
    return _post_each(invocation, "pause")


def unpause(invocation: Invocation) -> int:
    return _post_each(invocation, "unpause")


def _post_each(invocation: Invocation, verb: str) -> int:
    client = invocation.client

    def act(name: str) -> str:
        client.stream("POST", f"/containers/{path_name(name)}/{verb}").close()
        return name

    return for_each(invocation.args, act, at_once=True)


def update(invocation: Invocation) -> int:
    from wardian.cli.create_body import restart_policy

    given = [flag for flag in UPDATE.flags if invocation.given(flag.name)]
    if not given:
        raise Failure("you must provide one or more flags when using this command")
    body = {flag.path: invocation[flag.name] for flag in given if flag.path}
    if invocation.given("restart"):
        body["RestartPolicy"] = restart_policy(invocation.text("restart"))

    def act(name: str) -> str:
        answer = invocation.client.call("POST", f"/containers/{path_name(name)}/update", body)
        assert isinstance(answer, dict)
        for warning in answer.get("Warnings") or ():
            warnings.append(str(warning))
        return name

    warnings: list[str] = []
    try:
        return for_each(invocation.args, act)
    finally:
        for warning in warnings:
            sys.stderr.write(f"WARNING: {warning}\n")


_USAGE = "[OPTIONS] CONTAINER [CONTAINER...]"
_SIGNAL = Flag("signal", "s", "string", "", "Signal to send")
_PATIENCE = (
    _SIGNAL,
    Flag("time", "", "int", "", "Seconds until it is killed", deprecated="use --timeout instead"),
    Flag("timeout", "t", "int", "", "Seconds until it is killed"),
)
STOP = Command(stop, _USAGE, _PATIENCE, least=1)
RESTART = Command(restart, _USAGE, _PATIENCE, least=1)
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
PAUSE = Command(pause, "CONTAINER [CONTAINER...]", least=1)
UNPAUSE = Command(unpause, "CONTAINER [CONTAINER...]", least=1)
UPDATE = Command(
    update,
    _USAGE,
    (
        Flag("blkio-weight", "", "uint16", "BlkioWeight", "Share of block I/O, 10 to 1000 (0: none set)"),
        Flag("cpu-period", "", "int64", "CpuPeriod", "Length of a scheduler period in microseconds"),
        Flag("cpu-quota", "", "int64", "CpuQuota", "Processor time in a scheduler period, in microseconds"),
        Flag("cpu-rt-period", "", "int64", "CpuRealtimePeriod", "Length of a real-time period in microseconds"),
        Flag("cpu-rt-runtime", "", "int64", "CpuRealtimeRuntime", "Real-time processor time in a period"),
        Flag("cpu-shares", "c", "int64", "CpuShares", "Share of processor time when others want it too"),
        Flag("cpus", "", "decimal", "NanoCpus", "How many processors' time it may use (1.5)"),
        Flag("cpuset-cpus", "", "string", "CpusetCpus", "Processors that it may run on (0-3, 0,1)"),
        Flag("cpuset-mems", "", "string", "CpusetMems", "Memory nodes that it may use (0-3, 0,1)"),
        Flag("memory", "m", "bytes", "Memory", "Limit of memory"),
        Flag("memory-reservation", "", "bytes", "MemoryReservation", "Memory to keep under pressure"),
        Flag("memory-swap", "", "swap-bytes", "MemorySwap", "Limit of memory and swap together (-1: no limit)"),
        Flag("pids-limit", "", "int64", "PidsLimit", "Most processes (-1: no limit)"),
        Flag("restart", "", "string", "", "When to start it again after it ended"),
    ),
    least=1,
)
WAIT = Command(wait, "CONTAINER [CONTAINER...]", least=1)
