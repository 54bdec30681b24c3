"""Go's fmt.Sprintf, the verbs that templates use: %s %v %d %q %t %x %X %o %b %c %f %e %g %T, width and flags."""

from __future__ import annotations

from wardian.cli.gotemplate_functions import go_text
from wardian.cli.pflag import go_quote

_FLAGS = "+-# 0"


def sprintf(form: str, values: tuple[object, ...]) -> str:
    """`form` filled with `values`; what does not fit is marked in the text, as Go marks it."""
    out, at, used = "", 0, 0
    while at < len(form):
        if form[at] != "%":
            end = form.find("%", at)
            end = len(form) if end < 0 else end
            out, at = out + form[at:end], end
            continue
        start = at + 1
        at = start
        while at < len(form) and (form[at] in _FLAGS or form[at].isdigit() or form[at] == "."):
            at += 1
        if at >= len(form):
            return out + "%!(NOVERB)"
        verb, settings, at = form[at], form[start:at], at + 1
        if verb == "%":
            out += "%"
        elif used >= len(values):
            out += f"%!{verb}(MISSING)"
        else:
            out += _one(verb, settings, values[used])
            used += 1
    if used < len(values):
        extra = ", ".join(f"{_type(value)}={go_text(value)}" for value in values[used:])
        out += f"%!(EXTRA {extra})"
    return out


def _one(verb: str, settings: str, value: object) -> str:
    flags = settings[: len(settings) - len(settings.lstrip(_FLAGS))]
    width, dot, precision = settings[len(flags) :].partition(".")
    text = _body(verb, value, flags, int(precision or "0") if dot else None)
    if text is None:
        text = f"%!{verb}({_type(value)}={go_text(value)})"
    size = int(width or "0")
    if "-" in flags:
        return text.ljust(size)
    if "0" in flags and isinstance(value, int | float):
        return text.zfill(size)
    return text.rjust(size)


def _body(verb: str, value: object, flags: str, precision: int | None) -> str | None:
    if isinstance(value, list | tuple) and verb not in "vT":
        parts = [_body(verb, one, flags, precision) for one in value]
        return "[" + " ".join(part or "" for part in parts) + "]"
    if verb in "vs":
        if verb == "s" and (value is None or isinstance(value, int | float)):
            return None if value is not None else "%!s(<nil>)"
        text = go_text(value)
        return text if precision is None else text[:precision]
    if verb == "q" and isinstance(value, str):
        return go_quote(value)
    if verb == "T":
        return _type(value)
    if verb == "t" and isinstance(value, bool):
        return go_text(value)
    if isinstance(value, str) and verb in "xX":
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _number(verb, value, "+" in flags, precision)


def _number(verb: str, value: int | float, signed: bool, precision: int | None) -> str | None:
    sign = "+" if signed else ""
    if verb in "dxXob" and isinstance(value, int):
        return format(value, f"{sign}{verb}")
    if verb == "c" and isinstance(value, int):
        return chr(value)
    if verb in "feEgG" and isinstance(value, float):
        if precision is None and verb in "gG":
            return go_text(value)
        return format(value, f"{sign}.{6 if precision is None else precision}{verb}")
    return None


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {int: "int", float: "float64", str: "string", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), "<nil>")
