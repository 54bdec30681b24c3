"""A command: its place in the grammar, and what ends it early."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wardian.cli.pflag import Flag, Parsed
    from wardian.client import Client

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
    """One command as it was typed: `path` ("container ls"), its flags, and its engine (`client`, made late)."""

    __slots__ = ("_client", "host", "parsed", "path")

    def __init__(self, path: str, parsed: Parsed, host: str) -> None:
        self.path = path
        self.parsed = parsed
        self.host = host
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        if self._client is None:
            from wardian.client import connect

            self._client = connect(self.host)
        return self._client

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


class Failure(Exception):
    """The command ends with `code` after `message` was said on stderr (nothing when it is empty)."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


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
        wanted = f"requires {least} argument{'s' * (least != 1)}"
    elif count < least:
        wanted = f"requires at least {least} argument{'s' * (least != 1)}"
    else:
        wanted = f"requires at most {most} argument{'s' * (most != 1)}"
    return UsageFailure(f"wardian: 'wardian {path}' {wanted}")
