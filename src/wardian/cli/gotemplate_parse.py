"""The grammar of Go's text/template: text → nodes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

_SPACE = " \t\r\n"


class TemplateError(Exception):
    """The template is wrong, or does not fit the data; the text is Go's. `partial`: what was written before."""

    partial = ""


class _Place:
    """Where in the template something stands."""

    source = ""
    line = 0
    column = 0

    def put(self, source: str, line: int, column: int) -> None:
        self.source, self.line, self.column = source, line, column

    def column_of(self, depth: int) -> int:
        """The column that Go names for the field number `depth` of a chain."""
        return self.column


class Literal(_Place):
    value: object = None


class Dot(_Place):
    pass


class Function(_Place):
    name = ""


class Field(_Place):
    names: list[str]

    def column_of(self, depth: int) -> int:
        # Go's parser puts a chain where its second field stands, whichever of them failed.
        return self.column + (len(self.names[0]) + 1 if len(self.names) > 1 else 0)


class Variable(_Place):
    name = ""
    names: list[str]


class Chain(_Place):
    pipe: Pipe
    names: list[str]


class Command(_Place):
    operands: list[Operand]


class Pipe(_Place):
    names: list[str]
    assigns = False
    commands: list[Command]


if TYPE_CHECKING:
    Operand: TypeAlias = "Literal | Dot | Function | Field | Variable | Chain"
    Node: TypeAlias = "Text | Action | Branch | Jump"


class Text:
    def __init__(self, text: str) -> None:
        self.text = text


class Action:
    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe


class Jump:
    def __init__(self, word: str) -> None:
        self.word = word


class Branch:
    """`if`, `with` or `range`: its pipe, its body, and what follows `else`."""

    def __init__(self, word: str, pipe: Pipe) -> None:
        self.word = word
        self.pipe = pipe
        self.body: list[Node] = []
        self.other: list[Node] = []


class Piece:
    """Text, or the inside of one action with its place."""

    def __init__(self, text: str, line: int, column: int, action: bool) -> None:
        self.text = text
        self.line = line
        self.column = column
        self.action = action


def fail(line: int, message: str) -> TemplateError:
    return TemplateError(f"template: :{line}: {message}")


def _split(source: str) -> list[Piece]:
    pieces, at, trim = [], 0, False
    while at < len(source):
        start = source.find("{{", at)
        text = source[at : start if start >= 0 else len(source)]
        if trim:
            text = text.lstrip(_SPACE)
        trim_left = start >= 0 and source.startswith(tuple(f"-{space}" for space in _SPACE), start + 2)
        if trim_left:
            text = text.rstrip(_SPACE)
        if text:
            pieces.append(Piece(text, 0, 0, False))
        if start < 0:
            break
        inside = start + (4 if trim_left else 2)
        line = source.count("\n", 0, start) + 1
        end = _action_end(source, inside, line)
        content = source[inside:end]
        trim = len(content) > 1 and content[-1] == "-" and content[-2] in _SPACE
        if trim:
            content = content[:-1]
        column = inside - (source.rfind("\n", 0, inside) + 1)
        if not content.strip(_SPACE).startswith("/*"):
            pieces.append(Piece(content, line, column, True))
        at = end + 2
    return pieces


def _action_end(source: str, at: int, line: int) -> int:
    """The place of the `}}` that ends an action, past quotes and comments."""
    if source[at:].lstrip(_SPACE).startswith("/*"):
        end = source.find("*/", at)
        if end < 0:
            raise fail(line, "unclosed comment")
        closing = source.find("}}", end)
        if closing < 0 or source[end + 2 : closing].strip(_SPACE + "-"):
            raise fail(line, "comment ends before closing delimiter")
        return closing
    while at < len(source):
        letter = source[at]
        if source.startswith("}}", at):
            return at
        if letter in "\"'`":
            at = quote_end(source, at, line)
        at += 1
    raise fail(line, "unclosed action")


def quote_end(source: str, at: int, line: int) -> int:
    quote, start = source[at], at
    at += 1
    while at < len(source) and source[at] != quote:
        if quote != "`" and source[at] == "\n":
            break
        at += 2 if quote != "`" and source[at] == "\\" else 1
    if at >= len(source) or source[at] != quote:
        kind = {"`": "unterminated raw quoted string", '"': "unterminated quoted string"}
        raise fail(line, kind.get(source[start], "unterminated character constant"))
    return at


def parse_template(source: str) -> list[Node]:
    """Raises TemplateError."""
    from wardian.cli.gotemplate_actions import Builder

    return Builder(_split(source)).build()
