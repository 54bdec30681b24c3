"""A command: its place in the grammar, and what ends it early."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wardian.cli.globals import Globals
    from wardian.cli.pflag import Flag, Parsed
    from wardian.client import Client, TlsFiles

    Action = Callable[["Invocation"], int]


class Command:
    """What a module of `cli` says about one verb.

    `usage` is what follows the verb in its usage line. `least` and `most` count arguments (`most` -1: any number).
    """

    __slots__ = ("action", "flags", "interspersed", "least", "most", "usage")

    def __init__(
        self,
        action: Action,
        usage: str,
        flags: Sequence[Flag] = (),
        least: int = 0,
        most: int = -1,
        interspersed: bool = True,
    ) -> None:
        self.action = action
        self.usage = usage
        self.flags = flags
        self.least = least
        self.most = most
        self.interspersed = interspersed


class Invocation:
    """One command as it was typed: `path` ("container ls"), its flags, and, made late, its engine and its settings."""

    __slots__ = ("_client", "_settings", "options", "parsed", "path")

    def __init__(self, path: str, parsed: Parsed, options: Globals) -> None:
        self.path = path
        self.parsed = parsed
        self.options = options
        self._client: Client | None = None
        self._settings: dict[str, Any] | None = None

    @property
    def client(self) -> Client:
        if self._client is None:
            from wardian.client import connect

            self._client = connect(*self._engine())
        return self._client

    def _engine(self) -> tuple[str, TlsFiles | None]:
        """What -H or the context names; "" for what the environment does."""
        from wardian.cli.settings import configuration_directory

        if self.context != "default":
            from wardian.cli.context_store import ContextStore

            return ContextStore(configuration_directory(self.options.config)).endpoint(self.context)
        host = self.options.host
        named = host or os.environ.get("WARDIAN_HOST") or os.environ.get("DOCKER_HOST") or ""
        if not named.startswith("tcp://"):
            return host, None
        from wardian.cli.tls_flags import tls_files

        return host, tls_files(self.options.tls, configuration_directory(self.options.config))

    @property
    def context(self) -> str:
        """The context that --context names, or, where no variable names a host, DOCKER_CONTEXT, or `context use`."""
        if self.options.host or self.options.context:
            return self.options.context or "default"
        if os.environ.get("WARDIAN_HOST") or os.environ.get("DOCKER_HOST"):
            return "default"
        if os.environ.get("DOCKER_CONTEXT"):
            return os.environ["DOCKER_CONTEXT"]
        from wardian.cli.settings import configuration_directory, current_context

        return current_context(configuration_directory(self.options.config))

    @property
    def settings(self) -> dict[str, Any]:
        """The person's config.json of docker's CLI; empty when there is none."""
        if self._settings is None:
            from wardian.cli.settings import read_settings

            self._settings = read_settings(self.options.config)
        return self._settings

    def setting(self, name: str) -> str:
        """A setting that is a text; empty when it is not set."""
        value = self.settings.get(name)
        return value if isinstance(value, str) else ""

    @property
    def args(self) -> list[str]:
        return self.parsed.args

    def __getitem__(self, name: str) -> object:
        return self.parsed.values[name]

    def given(self, name: str) -> bool:
        return name in self.parsed.given

    def text(self, name: str) -> str:
        """The value of a flag that holds a string."""
        return str(self.parsed.values[name])

    def flag(self, name: str) -> bool:
        """The value of a switch."""
        return bool(self.parsed.values[name])

    def number(self, name: str) -> int:
        return int(self.parsed.values[name])

    def words(self, name: str) -> list[str]:
        """The values of a flag that may be given again."""
        return list(self.parsed.values[name])


def path_name(text: str, kind: str = "container") -> str:
    """A name as a path of the API holds it: without the slash that `inspect` shows. Raises Failure."""
    name = text.strip().strip("/")
    if not name:
        raise Failure(f"invalid {kind} name or ID: value is empty")
    return name


def error_text(error: Exception) -> str:
    """How an error is told: what the engine said is marked as the engine's."""
    text = str(error)
    return f"Error response from daemon: {text}" if hasattr(error, "status") else text


class Failure(Exception):
    """The command ends with `code` after `message` was said on stderr (nothing when it is empty)."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def plain_error(error: OSError) -> str:
    """What the kernel says, as Go writes it."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


class UsageFailure(Failure):
    """`message`, then the usage line of the command and a pointer to its help, as Docker shows a wrong command line."""

    def __init__(self, message: str, pointer: str = "See") -> None:
        super().__init__(message)
        self.pointer = pointer


def count_failure(path: str, command: Command, count: int) -> UsageFailure | None:
    """What is wrong with this number of arguments, in Docker's words; None when it is right."""
    least, most = command.least, command.most
    if least <= count and (most < 0 or count <= most):
        return None
    if most == 0:
        return UsageFailure(f"wardian: 'wardian {path}' accepts no arguments", "Run")
    if least == most:
        return UsageFailure(f"wardian: 'wardian {path}' requires {least} argument{'s' * (least != 1)}", "Run")
    if 0 < least < most:
        return UsageFailure(f"wardian: 'wardian {path}' requires at least {least} and at most {most} arguments", "Run")
    if count < least:
        wanted = f"requires at least {least} argument{'s' * (least != 1)}"
    else:
        wanted = f"requires at most {most} argument{'s' * (most != 1)}"
    return UsageFailure(f"wardian: 'wardian {path}' {wanted}")
