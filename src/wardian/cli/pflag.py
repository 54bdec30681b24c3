"""Flags by the rules of Go's pflag, which is Docker's grammar: its bundles, its `=`, its `--`, and its error texts.

A command's flags are a table of `Flag` rows; parsing, help and the API body come from the same rows. Kinds that need
more than a line to read live in `wardian.cli.values`, which is imported when such a flag is given: most have none.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

# Kinds whose flag may be given again and adds to a list.
REPEATED = frozenset(
    [
        "list",
        "map",
        "filter",
        "strings",
        "attach",
        "env",
        "label",
        "add-host",
        "dns",
        "dns-search",
        "device",
        "device-cgroup-rule",
        "link",
        "mount",
        "network",
        "ulimit",
        "gpu-request",
        "blkio-weight-device",
        "sysctl",
        "throttle-bps",
        "throttle-iops",
    ]
)
TRUE_WORDS = frozenset(("1", "t", "T", "TRUE", "true", "True"))
FALSE_WORDS = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_SHOWN = {  # what help calls a kind, where it is not the kind's own name
    "attach": "list",
    "env": "list",
    "label": "list",
    "add-host": "list",
    "dns": "list",
    "dns-search": "list",
    "device": "list",
    "device-cgroup-rule": "list",
    "link": "list",
    "blkio-weight-device": "list",
    "throttle-bps": "list",
    "throttle-iops": "list",
    "swap-bytes": "bytes",
    "sysctl": "map",
    "bool": "",
}


class Flag:
    """One row: `--name`, `-short`, its kind, the field of the API that it writes (or ""), its default, and its help.

    `deprecated` says what to use in its place: the flag works, is not in the help, and a line tells. `same_as` is the
    flag that this one is another name of: what it is given goes there, in the order of the command line.
    """

    __slots__ = ("default", "deprecated", "hidden", "kind", "name", "path", "same_as", "short", "text")

    def __init__(
        self,
        name: str,
        short: str,
        kind: str,
        path: str,
        text: str,
        default: object = None,
        hidden: bool = False,
        deprecated: str = "",
        same_as: str = "",
    ) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.path = path
        self.text = text
        self.default = _zero(kind) if default is None else default
        self.hidden = hidden or bool(deprecated) or bool(same_as)
        self.same_as = same_as
        self.deprecated = deprecated

    @property
    def shown_kind(self) -> str:
        """The word for the value in help: `--memory bytes`."""
        return _SHOWN.get(self.kind, self.kind)

    @property
    def title(self) -> str:
        """How error texts name the flag: `-m, --memory`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class FlagError(Exception):
    """The command line breaks the grammar; the text is Go's."""


class HelpAsked(Exception):
    """--help was among the flags."""


class Parsed:
    """What the flags said: `values[name]` (its default when not given), which were given, and the other arguments."""

    __slots__ = ("args", "given", "values")

    def __init__(self, values: dict[str, Any], given: set[str], args: list[str]) -> None:
        self.values = values
        self.given = given
        self.args = args

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse(flags: Sequence[Flag], arguments: Sequence[str], interspersed: bool = True) -> Parsed:
    """Reads `arguments`. With `interspersed` off, the first that is no flag ends them (run, exec). Raises FlagError."""
    return _Parser(flags, interspersed).run(arguments)


class _Parser:
    def __init__(self, flags: Sequence[Flag], interspersed: bool) -> None:
        self.by_name = {flag.name: flag for flag in flags}
        self.by_short = {flag.short: flag for flag in flags if flag.short}
        self.interspersed = interspersed
        self.values: dict[str, Any] = {
            flag.name: list(flag.default) if isinstance(flag.default, list) else flag.default for flag in flags
        }
        self.given: set[str] = set()
        self.rest: list[str] = []

    def run(self, arguments: Sequence[str]) -> Parsed:
        self.rest = list(arguments)
        positional: list[str] = []
        while self.rest:
            word = self.rest.pop(0)
            if word == "--":
                positional += self.rest
                break
            if word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._bundle(word)
            else:
                positional.append(word)
                if not self.interspersed:
                    positional += self.rest
                    break
        return Parsed(self.values, self.given, positional)

    def _long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name[0] == "-":
            raise FlagError(f"bad flag syntax: {word}")
        flag = self.by_name.get(name)
        if flag is None:
            if name == "help":
                if not equals or self._value(_HELP, value):
                    raise HelpAsked
                return
            raise FlagError(f"unknown flag: --{name}")
        if equals:
            self._set(flag, value)
        elif flag.kind == "bool":
            self._set(flag, "true")
        elif self.rest:
            self._set(flag, self.rest.pop(0))
        else:
            raise FlagError(f"flag needs an argument: --{name}")

    def _bundle(self, word: str) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self.by_short.get(letter)
            if flag is None:
                if letter == "h":
                    print("Flag shorthand -h has been deprecated, use --help")
                    raise HelpAsked
                raise FlagError(f"unknown shorthand flag: '{letter}' in -{letter}{letters}")
            if len(letters) > 1 and letters[0] == "=":
                self._set(flag, letters[1:])
                return
            if flag.kind == "bool":
                self._set(flag, "true")
            elif letters:
                self._set(flag, letters)
                return
            elif self.rest:
                self._set(flag, self.rest.pop(0))
            else:
                raise FlagError(f"flag needs an argument: '{letter}' in {word}")

    def _value(self, flag: Flag, text: str) -> Any:
        try:
            return _reader(flag.kind)(text)
        except ValueError as error:
            raise FlagError(f"invalid argument {go_quote(text)} for {go_quote(flag.title)} flag: {error}") from None

    def _set(self, flag: Flag, text: str) -> None:
        value = self._value(flag, text)
        if flag.deprecated:
            print(f"Flag --{flag.name} has been deprecated, {flag.deprecated}")
        name = flag.same_as or flag.name
        if flag.kind in REPEATED:
            if name not in self.given:
                self.values[name] = []
            kept = self.values[name]
            kept.extend(value) if flag.kind == "strings" else kept.append(value)
        else:
            self.values[name] = value
        self.given.add(name)


def go_quote(text: str) -> str:
    """Go's %q: double quotes, and backslash escapes for what is not printable."""
    special = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(special.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}") for c in text) + '"'


def _zero(kind: str) -> object:
    if kind in REPEATED:
        return []
    if kind == "bool":
        return False
    if kind in ("int", "int64", "uint16", "uint", "bytes", "swap-bytes", "decimal", "duration"):
        return 0
    return ""


def _read_bool(text: str) -> bool:
    """strconv.ParseBool."""
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {go_quote(text)}: invalid syntax")


def _read_whole(text: str, low: int, high: int, function: str) -> int:
    """strconv.ParseInt with base 0: 0x, 0o, 0b and a leading 0 for octal; the error texts are its own."""
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567_"
    try:
        if text[:1] == "" or text != text.strip() or len(text) - len(digits) > 1:
            raise ValueError
        number = int(text.replace(digits, digits.lstrip("0_") or "0"), 8) if octal else int(text, 0)
    except ValueError:
        raise ValueError(f"strconv.{function}: parsing {go_quote(text)}: invalid syntax") from None
    if not low <= number <= high:
        raise ValueError(f"strconv.{function}: parsing {go_quote(text)}: value out of range")
    return number


def _read_int(text: str) -> int:
    return _read_whole(text, -(1 << 63), (1 << 63) - 1, "ParseInt")


def _read_uint16(text: str) -> int:
    return _read_unsigned(text, 65535)


def _read_uint(text: str) -> int:
    return _read_unsigned(text, (1 << 64) - 1)


def _read_unsigned(text: str, high: int) -> int:
    if text[:1] in "+-":
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(text)}: invalid syntax")
    return _read_whole(text, 0, high, "ParseUint")


def _read_network(text: str) -> dict[str, Any]:
    from wardian.cli.endpoints import read_network

    return read_network(text)


_READERS: dict[str, Callable[[str], Any]] = {
    "bool": _read_bool,
    "string": str,
    "list": str,
    "device": str,
    "map": str,
    "network": _read_network,
    "int": _read_int,
    "int64": _read_int,
    "uint16": _read_uint16,
    "uint": _read_uint,
}


def _reader(kind: str) -> Callable[[str], Any]:
    """The function that reads a value of this kind; it raises ValueError with Docker's text."""
    reader = _READERS.get(kind)
    if reader is None:
        from wardian.cli import values

        reader = values.READERS[kind]
    return reader


_HELP = Flag("help", "", "bool", "", "Show help")


# rows that many commands have
TABLE_FORMAT = Flag("format", "", "string", "", "'table', 'table TEMPLATE', 'json', or a Go template")
CONTENT_TRUST = Flag(
    "disable-content-trust", "", "bool", "", "No signature is checked (=false is refused)", default=True, hidden=True
)
