"""`exec`: a further process in a running container."""

from __future__ import annotations

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.pflag import Flag
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation


def execute(invocation: Invocation) -> int:
    from wardian.cli.streams import check_terminal, detach_keys

    detach, stdin, tty = (invocation.flag(name) for name in ("detach", "interactive", "tty"))
    keys = "" if detach else detach_keys(invocation)
    body = _body(invocation, detach, stdin, tty, keys)
    if not detach:
        check_terminal(stdin, tty)
    client = invocation.client
    created = client.call("POST", f"/containers/{path_name(invocation.args[0])}/exec", body)
    assert isinstance(created, dict)
    resource = f"exec/{created['Id']}"
    try:
        if detach:
            client.call("POST", f"/{resource}/start", {"Detach": True, "Tty": tty, "ConsoleSize": body["ConsoleSize"]})
            return 0
        return _attached(invocation, resource, body, stdin, tty)
    except WardianError as error:  # 126 and 127 are the exec's own exit code, which only who is attached is told
        raise Failure(error_text(error)) from None


def _body(invocation: Invocation, detach: bool, stdin: bool, tty: bool, keys: str) -> dict[str, Any]:
    environment = invocation.words("env")
    if invocation.words("env-file"):
        from wardian.cli.pairs import file_pairs

        try:
            lines = file_pairs(invocation.words("env-file"), "env", from_environment=True)
        except ValueError as error:
            raise Failure(str(error)) from None
        environment = lines + environment
    size = None
    if tty:
        from wardian.client.console import terminal_size

        found = terminal_size()
        size = list(found) if found else None
    return {
        "User": invocation.text("user"),
        "Privileged": invocation.flag("privileged"),
        "Tty": tty,
        "ConsoleSize": size,
        "AttachStdin": stdin and not detach,
        "AttachStderr": not detach,
        "AttachStdout": not detach,
        "Detach": detach,
        "DetachKeys": keys,
        "Env": environment or None,
        "WorkingDir": invocation.text("workdir"),
        "Cmd": invocation.args[1:],
    }


def _attached(invocation: Invocation, resource: str, body: dict[str, Any], stdin: bool, tty: bool) -> int:
    from wardian.cli.streams import Session

    client = invocation.client
    start = {"Detach": False, "Tty": tty, **({"ConsoleSize": body["ConsoleSize"]} if body["ConsoleSize"] else {})}
    with Session(client, resource, tty, False, body["DetachKeys"]) as session:
        hijacked = client.hijack("POST", f"/{resource}/start", start)
        if tty:
            session.resize()
        session.copy(hijacked, stdin)
        if session.detached:
            raise Failure("read escape sequence")
    state = client.call("GET", f"/{resource}/json")
    assert isinstance(state, dict)
    return int(state.get("ExitCode") or 0)


EXEC = Command(
    execute,
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    (
        Flag("detach", "d", "bool", "", "Leave it running in the background"),
        Flag("detach-keys", "", "string", "", "Keys that leave the command running"),
        Flag("env", "e", "env", "", "Set a variable of the environment"),
        Flag("env-file", "", "list", "", "Read variables of the environment from a file"),
        Flag("interactive", "i", "bool", "", "Keep stdin open, also when nobody is attached"),
        Flag("privileged", "", "bool", "", "Give nearly all that root on this host has"),
        Flag("tty", "t", "bool", "", "Give it a terminal"),
        Flag("user", "u", "string", "", "User, and group (name|uid[:group|gid])"),
        Flag("workdir", "w", "string", "", "Working directory"),
    ),
    least=2,
    interspersed=False,
)
