"""Go's text/template, the part of it that `--format` is used with, and its error texts.

Actions: fields, variables, pipelines, parentheses, literals, `if`/`else if`/`with`/`range`/`else`/`end`, `break`,
`continue`, `:=` and `=`, comments and trim markers. Functions: Go's own (and or not eq ne lt le gt ge index slice len
print printf println html js urlquery) and docker's (json split join title lower upper pad truncate). `define`,
`template` and `block` are refused.

    Template(text).render(data) -> str        raises TemplateError

Data is plain JSON values, or a `Record`: an object whose fields are looked up by a function and may take arguments
(`{{.Label "x"}}`).
"""

from __future__ import annotations

from wardian.cli.gotemplate_functions import FUNCTIONS, CallError, go_text, is_true
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
    Pipe,
    TemplateError,
    Text,
    Variable,
    parse_template,
)
from wardian.cli.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wardian.cli.gotemplate_parse import Node, Operand

__all__ = ["MISSING", "Template", "TemplateError"]


# Fields that docker's Go has under another name than the API's JSON: both may be asked for.
_JSON_NAMES = {
    "APIVersion": "ApiVersion",
    "CPUCfsPeriod": "CpuCfsPeriod",
    "CPUCfsQuota": "CpuCfsQuota",
    "CPUCount": "CpuCount",
    "CPUPercent": "CpuPercent",
    "CPUPeriod": "CpuPeriod",
    "CPUQuota": "CpuQuota",
    "CPURealtimePeriod": "CpuRealtimePeriod",
    "CPURealtimeRuntime": "CpuRealtimeRuntime",
    "CPUShares": "CpuShares",
    "DNS": "Dns",
    "DNSOptions": "DnsOptions",
    "DNSSearch": "DnsSearch",
    "HTTPProxy": "HttpProxy",
    "HTTPSProxy": "HttpsProxy",
    "ID": "Id",
    "NanoCPUs": "NanoCpus",
    "Scope": "scope",
    "Time": "time",
    "TimeNano": "timeNano",
}


class _Missing:
    """What a key that a map does not have gives: printed as <no value>, false in an `if`."""

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


class Typed(dict[str, object]):
    """An object whose Go type is known: fields that JSON leaves out have their zero value to a template."""

    def __init__(self, fields: dict[str, object], zeros: dict[str, object]) -> None:
        super().__init__(fields)
        self.zeros = zeros


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A parsed template.

    `name` is what error texts call it; `strict`: a key that is not there is an error; `nils`: how a field of this name
    is printed when it is null or left out (Go knows from its type that {{.Config.Env}} is an empty list); `shapes`: the
    order in which an object of this name, or each in a list, is printed (Go's structs have one: {no 0}).
    """

    def __init__(
        self,
        text: str,
        name: str = "",
        strict: bool = True,
        nils: dict[str, str] | None = None,
        shapes: dict[str, tuple[str, ...] | str] | None = None,
    ) -> None:
        self._name = name
        self._strict = strict
        self._nils = nils or {}
        self._shapes = shapes or {}
        self._nodes = parse_template(text)

    def render(self, data: object) -> str:
        """The text for `data`. Raises TemplateError; its `.partial` is what was written before the error."""
        run = _Run(self._name, data, self._strict, self._nils, self._shapes)
        try:
            run.nodes(self._nodes, data)
        except TemplateError as error:
            error.partial = "".join(run.out)
            raise
        return "".join(run.out)


class _Run:
    def __init__(
        self, name: str, data: object, strict: bool, nils: dict[str, str], shapes: dict[str, tuple[str, ...] | str]
    ) -> None:
        self.out: list[str] = []
        self._nils = nils
        self._shapes = shapes
        self._name = name
        self._strict = strict
        self._variables: list[tuple[str, object]] = [("$", data)]

    def nodes(self, nodes: list[Node], dot: object) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self.out.append(node.text)
            elif isinstance(node, Action):
                value = self._pipe(node.pipe, dot)
                if not node.pipe.names:
                    self.out.append(self._printed(node.pipe, value))
            elif isinstance(node, Jump):
                raise _Break if node.word == "break" else _Continue
            else:
                self._branch(node, dot)

    def _printed(self, pipe: Pipe, value: object) -> str:
        last = pipe.commands[-1].operands
        names = last[0].names if len(last) == 1 and isinstance(last[0], Field | Variable | Chain) else []
        name = names[-1] if names else ""
        if value is None or value is MISSING:
            return self._nils.get(name, "<no value>") if value is None else "<no value>"
        return go_text(_shaped(value, self._shapes[name]) if name in self._shapes else value)

    def _branch(self, node: Branch, dot: object) -> None:
        mark = len(self._variables)
        if node.word == "range":
            self._range(node, dot)
        else:
            value = self._pipe(node.pipe, dot)
            if is_true(value):
                self.nodes(node.body, value if node.word == "with" else dot)
            else:
                self.nodes(node.other, dot)
        del self._variables[mark:]

    def _range(self, node: Branch, dot: object) -> None:
        value = self._pipe(node.pipe, dot, declare=False)
        mark = len(self._variables)
        empty = True
        for key, item in self._entries(node, value):
            empty = False
            names = node.pipe.names
            if len(names) == 1:
                self._variables.append((names[0], item))
            elif names:
                self._variables += [(names[0], key), (names[1], item)]
            try:
                self.nodes(node.body, item)
            except _Break:
                break
            except _Continue:
                pass
            finally:
                del self._variables[mark:]
        if empty:
            self.nodes(node.other, dot)

    def _entries(self, node: Branch, value: object) -> Iterator[tuple[object, object]]:
        if isinstance(value, dict):
            return iter(sorted(value.items()))
        if isinstance(value, list | tuple):
            return iter(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return iter((number, number) for number in range(value))
        if value is None or value is MISSING:
            return iter(())
        raise self._error(node.pipe, f"range can't iterate over {go_text(value)}")

    def _pipe(self, pipe: Pipe, dot: object, declare: bool = True) -> object:
        value: object = None
        for number, command in enumerate(pipe.commands):
            value = self._command(command, dot, [value] if number else [])
        if declare:
            for name in pipe.names:
                if pipe.assigns:
                    self._assign(name, value)
                else:
                    self._variables.append((name, value))
        return value

    def _assign(self, name: str, value: object) -> None:
        for at in range(len(self._variables) - 1, -1, -1):
            if self._variables[at][0] == name:
                self._variables[at] = (name, value)
                return

    def _command(self, command: Command, dot: object, last: list[object]) -> object:
        first, rest = command.operands[0], command.operands[1:]
        if isinstance(first, Function):
            return self._call(first, rest, dot, last, command)
        takes = isinstance(first, Field | Variable | Chain)
        if (rest or last) and not takes:
            raise self._error(first, f"can't give argument to non-function {first.source}")
        return self._operand(first, dot, [self._operand(one, dot) for one in rest] + last)

    def _call(
        self, first: Function, rest: list[Operand], dot: object, last: list[object], where: Operand | Command
    ) -> object:
        if first.name in ("and", "or"):
            return self._short_circuit(first.name, rest, dot, last)
        arguments = [self._operand(one, dot) for one in rest] + last
        function = FUNCTIONS[first.name]
        if not function.least <= len(arguments) or 0 <= function.most < len(arguments):
            wanted = function.least if function.most >= 0 else f"at least {function.least}"
            raise self._error(first, f"wrong number of args for {first.name}: want {wanted} got {len(arguments)}")
        try:
            return function.call(*arguments)
        except CallError as error:
            raise self._error(where, f"error calling {first.name}: {error}") from None

    def _short_circuit(self, word: str, rest: list[Operand], dot: object, last: list[object]) -> object:
        value: object = None
        for one in rest:
            value = self._operand(one, dot)
            if is_true(value) == (word == "or"):
                return value
        return last[0] if last else value

    def _operand(self, operand: Operand, dot: object, arguments: list[object] | None = None) -> object:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Dot):
            return dot
        if isinstance(operand, Field):
            return self._fields(operand, dot, operand.names, arguments or [])
        if isinstance(operand, Variable):
            return self._fields(operand, self._variable(operand), operand.names, arguments or [])
        if isinstance(operand, Chain):
            return self._fields(operand, self._pipe(operand.pipe, dot), operand.names, arguments or [])
        return self._call(operand, [], dot, [], operand)

    def _variable(self, operand: Variable) -> object:
        for name, value in reversed(self._variables):
            if name == operand.name:
                return value
        raise self._error(operand, f"undefined variable: {operand.name}")

    def _fields(self, operand: Operand, value: object, names: list[str], arguments: list[object]) -> object:
        for number, name in enumerate(names):
            last = number == len(names) - 1
            inside = self._field(operand, value, name, arguments if last else [], number)
            if inside is None and not last and isinstance(value, dict) and name not in value:
                raise self._error(operand, f'map has no entry for key "{name}"', number)
            value = inside
        if arguments and not names:
            raise self._error(operand, f"can't give argument to non-function {operand.source}")
        return value

    def _field(self, operand: Operand, value: object, name: str, arguments: list[object], depth: int) -> object:
        if isinstance(value, Record):
            getter = value.fields.get(name)
            if getter is None:
                raise self._error(operand, f"can't evaluate field {name} in type {value.kind}", depth)
            try:
                return getter(*arguments)
            except TypeError:
                want = 1 if name == "Label" else 0
                raise self._error(
                    operand, f"wrong number of args for {name}: want {want} got {len(arguments)}", depth
                ) from None
        if arguments:
            raise self._error(operand, f"{name} has arguments but cannot be invoked as function", depth)
        if isinstance(value, dict):
            for one in (name, _JSON_NAMES.get(name, name)):
                if one in value:
                    return value[one]
            if isinstance(value, Typed) and name in value.zeros:
                return value.zeros[name]
            if name in self._nils:
                return None
            if self._strict:
                raise self._error(operand, f'map has no entry for key "{name}"', depth)
            return MISSING
        if value is MISSING or value is None:
            raise self._error(operand, f'nil data; no entry for key "{name}"', depth)
        raise self._error(operand, f"can't evaluate field {name} in type {_go_type(value)}", depth)

    def _error(self, where: Operand | Pipe | Command, message: str, depth: int = 0) -> TemplateError:
        at = where.column_of(depth)
        return TemplateError(
            f'template: {self._name}:{where.line}:{at}: executing "{self._name}" at <{where.source}>: {message}'
        )


def _go_type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "[]interface {}" if isinstance(value, list) else "float64"


def _shaped(value: object, names: tuple[str, ...] | str) -> object:
    """The object, or each of a list of them, with these fields in this order; behind a "*", each of a map of lists.

    `names` may be the text that Go's type makes of itself, with the fields in braces.
    """
    if names[:1] == ("*",) and isinstance(value, dict):
        return {key: _shaped([] if one is None else one, names[1:]) for key, one in value.items()}
    if isinstance(value, list):
        return [_shaped(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    if isinstance(names, str):
        return names.format_map(value)
    fields = {**value.zeros, **value} if isinstance(value, Typed) else value
    return Record("", {name: lambda name=name: fields.get(name, "") for name in names}, ordered=True)
