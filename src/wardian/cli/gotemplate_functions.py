"""What templates may call: Go's own functions and docker's; and how Go prints values."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class CallError(Exception):
    """A function does not take what it was given; the text is Go's."""


class Builtin:
    """A function and how many arguments it takes (`most` -1: any number)."""

    __slots__ = ("call", "least", "most")

    def __init__(self, call: Callable[..., object], least: int, most: int) -> None:
        self.call = call
        self.least = least
        self.most = most


def is_true(value: object) -> bool:
    """Go's truth: anything but false, 0, nil, and what is empty."""
    return bool(value)


def go_text(value: object) -> str:
    """%v: lists as [a b], maps as map[k:v] by key, nil as <nil>."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _go_float(value)
    if isinstance(value, list | tuple):
        return "[" + " ".join(go_text(one) for one in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(one)}" for key, one in sorted(value.items())) + "]"
    if hasattr(value, "items"):
        return "{" + " ".join(go_text(one) for _, one in value.items()) + "}"
    return str(value)


def _go_float(value: float) -> str:
    text = repr(value)
    if "e" in text:
        base, _, power = text.partition("e")
        return f"{base}e{int(power):+03d}"
    return text.removesuffix(".0")


def json_text(value: object) -> str:
    """encoding/json's text; the fields of a record (which docker marshals itself) have <, > and & escaped."""
    from wardian.client import jsontext

    text = jsontext.encode(_plain(value)).decode()
    # Go leaves what is beyond ASCII as it is, and escapes what HTML gives a meaning.
    text = _unescape_unicode(text)
    if not hasattr(value, "fields"):
        return text
    for letter, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(letter, escape)
    return text


def _unescape_unicode(text: str) -> str:
    if "\\u" not in text:
        return text
    import json

    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "items"):
        return {key: _plain(one) for key, one in value.items()}
    return None


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise CallError(f"value has type {_kind(key)}; should be string")
            value = value.get(key)
        elif isinstance(value, list | tuple | str):
            value = _item(value, key)
        elif value is None:
            raise CallError("index of untyped nil")
        else:
            raise CallError(f"can't index item of type {_kind(value)}")
    return value


def _item(value: list[object] | tuple[object, ...] | str, key: object) -> object:
    if not isinstance(key, int) or isinstance(key, bool):
        raise CallError(f"cannot index slice/array with type {_kind(key)}")
    if not 0 <= key < len(value):
        raise CallError(f"index out of range: {key}")
    return ord(value[key]) if isinstance(value, str) else value[key]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {int: "int", float: "float64", str: "string", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), "<nil>" if value is None else "interface {}")


def _slice(value: object, *bounds: object) -> object:
    if not isinstance(value, list | str):
        raise CallError(f"can't slice item of type {_kind(value)}")
    places = [bound for bound in bounds if isinstance(bound, int)]
    if len(places) != len(bounds) or any(not 0 <= place <= len(value) for place in places):
        raise CallError(f"index out of range: {bounds[-1]}")
    return value[slice(*places[:2])] if len(places) > 1 else value[places[0] if places else 0 :]


def _length(value: object) -> int:
    if isinstance(value, list | tuple | dict):
        return len(value)
    if isinstance(value, str):
        return len(value.encode())
    raise CallError(f"len of type {_kind(value)}" if value is not None else "len of nil pointer")


def _same(first: object, *others: object) -> bool:
    return any(_class(first) == _class(other) and first == other for other in _checked(first, others))


def _checked(first: object, others: tuple[object, ...]) -> tuple[object, ...]:
    for other in others:
        if first is not None and other is not None and _class(first) != _class(other):
            raise CallError("incompatible types for comparison")
    return others


def _class(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _less(first: object, second: object) -> bool:
    if _class(first) != _class(second) or _class(first) not in ("number", "str"):
        raise CallError("incompatible types for comparison")
    return first < second  # type: ignore[operator,no-any-return]


def _print(*values: object) -> str:
    """fmt.Sprint: a space between two operands when neither is a string."""
    out = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            out += " "
        out += go_text(value)
    return out


def _printf(form: object, *values: object) -> str:
    from wardian.cli.goprintf import sprintf

    return sprintf(str(form), values)


def _println(*values: object) -> str:
    return " ".join(go_text(value) for value in values) + "\n"


def _html(*values: object) -> str:
    text = _print(*values)
    for letter, escape in (("&", "&amp;"), ("'", "&#39;"), ('"', "&#34;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(letter, escape)
    return text


def _url_query(*values: object) -> str:
    from wardian.client.http import quote

    return quote(_print(*values), " ").replace(" ", "+")


def _text(value: object, function: str) -> str:
    if not isinstance(value, str):
        raise CallError(f"wrong type for value; expected string; got {_kind(value)}")
    return value


def _join(values: object, separator: object) -> str:
    if not isinstance(values, list | tuple):
        raise CallError(f"wrong type for value; expected []string; got {_kind(values)}")
    return str(separator).join(go_text(value) for value in values)


def _split(text: object, separator: object) -> list[str]:
    string, by = _text(text, "split"), _text(separator, "split")
    return string.split(by) if by else list(string)


def _title(text: object) -> str:
    out, before = "", " "
    for letter in _text(text, "title"):
        out += letter.upper() if not (before.isalnum() or before in "_'") else letter
        before = letter
    return out


def _pad(text: object, left: object, right: object) -> str:
    string = _text(text, "pad")
    return " " * _whole(left) + string + " " * _whole(right) if string else string


def _truncate(text: object, length: object) -> str:
    return _text(text, "truncate")[: _whole(length)]


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise CallError(f"wrong type for value; expected int; got {_kind(value)}")
    return value


FUNCTIONS: dict[str, Builtin] = {
    "and": Builtin(lambda *values: None, 1, -1),  # evaluated by the run itself: they stop early
    "or": Builtin(lambda *values: None, 1, -1),
    "not": Builtin(lambda value: not is_true(value), 1, 1),
    "eq": Builtin(_same, 2, -1),
    "ne": Builtin(lambda first, second: not _same(first, second), 2, 2),
    "lt": Builtin(_less, 2, 2),
    "le": Builtin(lambda first, second: not _less(second, first), 2, 2),
    "gt": Builtin(lambda first, second: _less(second, first), 2, 2),
    "ge": Builtin(lambda first, second: not _less(first, second), 2, 2),
    "index": Builtin(_index, 1, -1),
    "slice": Builtin(_slice, 1, 4),
    "len": Builtin(_length, 1, 1),
    "print": Builtin(_print, 0, -1),
    "printf": Builtin(_printf, 1, -1),
    "println": Builtin(_println, 0, -1),
    "html": Builtin(_html, 0, -1),
    "js": Builtin(lambda *values: json_text(_print(*values))[1:-1].replace("'", "\\'"), 0, -1),
    "urlquery": Builtin(_url_query, 0, -1),
    "json": Builtin(json_text, 1, 1),
    "split": Builtin(_split, 2, 2),
    "join": Builtin(_join, 2, 2),
    "title": Builtin(_title, 1, 1),
    "lower": Builtin(lambda text: _text(text, "lower").lower(), 1, 1),
    "upper": Builtin(lambda text: _text(text, "upper").upper(), 1, 1),
    "pad": Builtin(_pad, 3, 3),
    "truncate": Builtin(_truncate, 2, 2),
}
