"""`attach` and `start`: joining the streams of a container that is there."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.lifecycle import each
from wardian.cli.pflag import Flag
from wardian.cli.streams import Session, check_terminal, detach_keys
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation

_DETACH_KEYS = Flag("detach-keys", "", "string", "", "Keys that leave the container running")
_SIG_PROXY = Flag("sig-proxy", "", "bool", "", "Pass signals on to the process", default=True)


def _inspect(invocation: Invocation, name: str) -> dict[str, Any]:
    container = invocation.client.call("GET", f"/containers/{name}/json")
    assert isinstance(container, dict)
    return container


def attach(invocation: Invocation) -> int:
    name, client = path_name(invocation.args[0]), invocation.client
    keys = detach_keys(invocation)
    waiting = client.stream("POST", f"/containers/{name}/wait")
    container = _inspect(invocation, name)
    _check_running(container["State"])
    tty = bool(container["Config"].get("Tty"))
    stdin = bool(container["Config"].get("OpenStdin")) and not invocation.flag("no-stdin")
    check_terminal(stdin, tty)
    query = _streams_query(keys, stdin)
    with Session(client, f"containers/{name}", tty, invocation.flag("sig-proxy") and not tty, keys) as session:
        hijacked = client.hijack("POST", f"/containers/{name}/attach", query=query)
        if tty:
            session.redraw()
        session.copy(hijacked, stdin)
        if session.detached:
            raise Failure("read escape sequence")
        return session.exit_code(waiting)


def _check_running(state: dict[str, Any]) -> None:
    if not state.get("Running"):
        raise Failure("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise Failure("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise Failure("You cannot attach to a restarting container, wait until it is running")


def _streams_query(keys: str, stdin: bool) -> dict[str, object]:
    return {"stream": True, "stdin": stdin, "stdout": True, "stderr": True, "detachKeys": keys or None}


def start(invocation: Invocation) -> int:
    attached = invocation.flag("attach") or invocation.flag("interactive")
    if attached:
        if len(invocation.args) > 1:
            raise Failure("you cannot start and attach multiple containers at once")
        return _start_attached(invocation, path_name(invocation.args[0]))
    query = {"detachKeys": invocation.text("detach-keys") or None}

    def act(name: str) -> str:
        invocation.client.call("POST", f"/containers/{path_name(name)}/start", query=query)
        return name

    failed = []
    for name, error in each(invocation.args, act):
        sys.stderr.write(f"{error_text(error)}\n")
        failed.append(name)
    if failed:
        raise Failure(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(invocation: Invocation, name: str) -> int:
    client = invocation.client
    keys = detach_keys(invocation)
    container = _inspect(invocation, name)
    identity, config = container["Id"], container["Config"]
    tty = bool(config.get("Tty"))
    stdin = invocation.flag("interactive") and bool(config.get("OpenStdin"))
    check_terminal(stdin, tty)
    removes = bool(container["HostConfig"].get("AutoRemove"))
    with Session(client, f"containers/{identity}", tty, invocation.flag("sig-proxy") and not tty, keys) as session:
        hijacked = client.hijack("POST", f"/containers/{identity}/attach", query=_streams_query(keys, stdin))
        condition = "removed" if removes else "next-exit"
        waiting = client.stream("POST", f"/containers/{identity}/wait", query={"condition": condition})
        try:
            client.call("POST", f"/containers/{identity}/start", query={"detachKeys": keys or None})
        except WardianError:
            hijacked.sock.close()
            raise
        if tty:
            session.resize()
        session.copy(hijacked, stdin)
        return 0 if session.detached else session.exit_code(waiting, condition)


ATTACH = Command(
    attach,
    "[OPTIONS] CONTAINER",
    (_DETACH_KEYS, Flag("no-stdin", "", "bool", "", "Do not attach stdin"), _SIG_PROXY),
    least=1,
    most=1,
)
START = Command(
    start,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        Flag("attach", "a", "bool", "", "Attach stdout and stderr, and pass signals on"),
        _DETACH_KEYS,
        Flag("interactive", "i", "bool", "", "Attach the container's stdin"),
        Flag("sig-proxy", "", "bool", "", "Pass signals on to the process", default=True, hidden=True),
    ),
    least=1,
)
