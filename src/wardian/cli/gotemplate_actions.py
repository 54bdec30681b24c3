"""The inside of actions: words, operands, pipelines; and how `if … else … end` nest."""

from __future__ import annotations

from wardian.cli.gotemplate_functions import FUNCTIONS
from wardian.cli.gotemplate_parse import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Function,
    Jump,
    Literal,
    Piece,
    Pipe,
    Text,
    Variable,
    fail,
    quote_end,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from wardian.cli.gotemplate_parse import Node, Operand

    _Operand = TypeVar("_Operand", Literal, Dot, Function, Field, Variable, Chain)

_UNBUILT = ("define", "template", "block")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"', "'": "'"}


class Builder:
    """Nests the pieces of a template into nodes."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self._at = 0
        self._loops = 0
        self._line = 1

    def build(self) -> list[Node]:
        nodes, ending, piece = self._list()
        if ending:
            raise fail(piece.line, f"unexpected {{{{{ending}}}}}")
        return nodes

    def _list(self) -> tuple[list[Node], str, Piece]:
        """Nodes up to an `else` or `end`, which word it was, and where."""
        nodes: list[Node] = []
        piece = Piece("", 1, 0, False)
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if not piece.action:
                nodes.append(Text(piece.text))
                continue
            self._line = piece.line
            word = piece.text.split(maxsplit=1)[0] if piece.text.strip() else ""
            if word in ("else", "end"):
                return nodes, word, piece
            nodes.append(self._node(word, piece))
        return nodes, "", piece

    def _node(self, word: str, piece: Piece) -> Node:
        if word in ("if", "with", "range"):
            return self._branch(word, piece, piece.text.find(word) + len(word))
        if word in ("break", "continue"):
            if not self._loops:
                raise fail(piece.line, f"{{{{{word}}}}} outside {{{{range}}}}")
            return Jump(word)
        if word in _UNBUILT:
            raise fail(piece.line, f"{{{{{word}}}}} is not built yet in Wardian")
        return Action(ActionParser(piece).pipe("command"))

    def _branch(self, word: str, piece: Piece, start: int) -> Branch:
        branch = Branch(word, ActionParser(piece, start).pipe(word))
        self._loops += word == "range"
        branch.body, ending, at = self._list()
        self._loops -= word == "range"
        if ending == "else":
            rest = at.text.split()[1:]
            if rest and rest[0] in ("if", "with"):
                start = at.text.find(rest[0], at.text.find("else") + 4) + len(rest[0])
                branch.other = [self._branch(rest[0], at, start)]
                return branch
            branch.other, ending, at = self._list()
            if ending == "else":
                raise fail(at.line, "expected end; found {{else}}")
        if ending != "end":
            raise fail(self._line, "unexpected EOF")
        return branch


class ActionParser:
    """The operands and pipelines inside one action."""

    def __init__(self, piece: Piece, start: int = 0) -> None:
        self._text = piece.text
        self._piece = piece
        self._at = start

    def pipe(self, context: str) -> Pipe:
        """A whole pipeline to the end of the action."""
        pipe = self._pipeline(context)
        self._skip()
        if self._at < len(self._text):
            raise self._error(f"unexpected {self._quoted(self._text[self._at])} in {context}")
        return pipe

    def _error(self, message: str) -> Exception:
        return fail(self._piece.line, message)

    def _quoted(self, text: str) -> str:
        return '"' + text.replace('"', '\\"') + '"'

    def _skip(self) -> bool:
        before = self._at
        while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
            self._at += 1
        return self._at > before

    def _pipeline(self, context: str) -> Pipe:
        self._skip()
        start = self._at
        names, assigns = self._declaration()
        commands = []
        while True:
            commands.append(self._command(context))
            self._skip()
            if not self._text.startswith("|", self._at):
                break
            self._at += 1
        pipe = Pipe()
        pipe.put(self._text[start : self._at].strip(), self._piece.line, self._piece.column + start)
        pipe.names, pipe.assigns, pipe.commands = names, assigns, commands
        return pipe

    def _declaration(self) -> tuple[list[str], bool]:
        head, equals, _ = self._text[self._at :].partition("=")
        words = head.rstrip(":").replace(",", " ").split()
        if not equals or not words or not all(_is_variable(word) for word in words):
            return [], False
        self._at += len(head) + 1
        return words, not head.endswith(":")

    def _command(self, context: str) -> Command:
        self._skip()
        start, operands = self._at, []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            operands.append(self._operand(context))
            if not self._skip() and self._at < len(self._text) and self._text[self._at] not in "|)":
                raise self._error(f"unexpected {self._quoted(self._text[self._at])} in operand")
        if not operands:
            raise self._error(f"missing value for {context}")
        command = Command()
        command.put(self._text[start : self._at].strip(), self._piece.line, self._piece.column + start)
        command.operands = operands
        return command

    def _operand(self, context: str) -> Operand:
        letter, start = self._text[self._at], self._at
        if letter == "(":
            return self._parenthesis()
        if letter in "\"`'":
            return self._string()
        if letter.isdigit() or (letter in "+-" and self._text[start + 1 : start + 2].isdigit()):
            return self._number()
        if letter == ".":
            names = self._names()
            if names:
                return self._done(Field(), start, names=names)
            self._at += 1
            return self._done(Dot(), start)
        if letter == "$":
            self._at += 1
            name = "$" + self._word()
            return self._done(Variable(), start, name=name, names=self._names())
        word = self._word()
        if not word:
            raise self._error(f"unexpected {self._quoted(letter)} in {context}")
        return self._identifier(word, start)

    def _done(self, operand: _Operand, start: int, **settings: object) -> _Operand:
        """The operand with its place, from `start` to here."""
        operand.source, operand.line = self._text[start : self._at], self._piece.line
        operand.column = self._piece.column + start
        for name, value in settings.items():
            setattr(operand, name, value)
        return operand

    def _word(self) -> str:
        start = self._at
        while self._at < len(self._text) and (self._text[self._at].isalnum() or self._text[self._at] == "_"):
            self._at += 1
        return self._text[start : self._at]

    def _names(self) -> list[str]:
        """`.A.B` → A, B; nothing is read when no name follows the dot."""
        names = []
        while self._text.startswith(".", self._at):
            self._at += 1
            name = self._word()
            if not name:
                self._at -= 1
                break
            names.append(name)
        return names

    def _identifier(self, word: str, start: int) -> Operand:
        constants = {"true": True, "false": False, "nil": None}
        if word in constants:
            return self._done(Literal(), start, value=constants[word])
        if word not in FUNCTIONS:
            raise self._error(f'function "{word}" not defined')
        return self._done(Function(), start, name=word)

    def _parenthesis(self) -> Operand:
        start = self._at
        self._at += 1
        pipe = self._pipeline("parenthesized pipeline")
        if not self._text.startswith(")", self._at):
            raise self._error("unclosed left paren")
        self._at += 1
        return self._done(Chain(), start, pipe=pipe, names=self._names())

    def _string(self) -> Operand:
        start = self._at
        self._at = quote_end(self._text, start, self._piece.line) + 1
        inside = self._text[start + 1 : self._at - 1]
        if self._text[start] == "`":
            return self._done(Literal(), start, value=inside)
        text = self._unescaped(inside)
        return self._done(Literal(), start, value=ord(text) if self._text[start] == "'" else text)

    def _unescaped(self, text: str) -> str:
        out, at = "", 0
        while at < len(text):
            if text[at] != "\\":
                out, at = out + text[at], at + 1
                continue
            kind = text[at + 1 : at + 2]
            digits = {"x": 2, "u": 4, "U": 8}.get(kind)
            try:
                out += chr(int(text[at + 2 : at + 2 + digits], 16)) if digits else _ESCAPES[kind]
            except (KeyError, ValueError):
                raise self._error("invalid syntax") from None
            at += 2 + (digits or 0)
        return out

    def _number(self) -> Operand:
        start = self._at
        while self._at < len(self._text) and (self._text[self._at].isalnum() or self._text[self._at] in "+-._"):
            self._at += 1
        text = self._text[start : self._at]
        try:
            value: int | float = int(text, 0)
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                raise self._error(f'bad number syntax: "{text}"') from None
        return self._done(Literal(), start, value=value)


def _is_variable(word: str) -> bool:
    return word.startswith("$") and word[1:].replace("_", "a").isalnum()
