#!/usr/bin/env python3
"""Writes docs/api.md from the server's route table, its handlers and the engine's option table; `--check` fails when
the file is not what they say."""

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "wardian"
TARGET = ROOT / "docs" / "api.md"
sys.path.insert(0, str(ROOT / "src"))

from wardian.engine.execs import process as exec_process  # noqa: E402
from wardian.engine.life import update  # noqa: E402
from wardian.engine.options.checks import only  # noqa: E402
from wardian.engine.options.table import TABLE, Option  # noqa: E402
from wardian.server import MAX_API_VERSION, MIN_API_VERSION  # noqa: E402
from wardian.server.refusals import reason  # noqa: E402
from wardian.server.routes import ROUTES, SECTIONS, Route  # noqa: E402
from wardian.server.routing import format_version  # noqa: E402

HEAD = """# The API

Wardian speaks the Docker Engine API, versions {oldest} to {newest}: on a unix socket, over TCP with TLS and client
certificates, and through ssh (`wardian system dial-stdio`). `/v1.NN/` before a path asks for a version, without it the
newest answers. Written by `tools/api_docs.py` from `src/wardian/server/routes.py`, the handlers that it names, and
`src/wardian/engine/options/table.py`: edit those, not this page.

{built} of {all} operations are built or answered as a Docker without such a thing answers; every other answers 501 and
names itself.

- **Access** is the class of caller that may: read, run, build, push, admin. Who may open the socket may do all of it,
  unless the engine has `--allow NAME=CLASS,…`: then each named caller (a user, the name in a client's certificate, `*`
  for everybody else) has those classes, and root on the unix socket has all. Each operation knows its caller.
- **Kind** is how the connection is used: *plain*, one answer; *stream*, an answer in pieces that ends when the client
  leaves; *handed over*, the raw socket goes to the container's supervisor (`Upgrade: tcp`, `101 UPGRADED`); *upgraded*,
  the raw socket stays in the engine. Over TLS a handed-over stream passes through the engine, and ends with it; so does
  a websocket's. A browser's page may open a websocket only to the host that it is from itself (`Origin`, `Host`).
- **Takes** lists what is read of a request: the query, and after "body:" the JSON fields. What a query holds besides is
  passed over, as Docker does; a field of a container that is set and not listed below is an error that names it.
"""

CREATE_HEAD = """
## What a container can be asked for

The body of `POST /containers/create`: every field, the flag of `run` that sets it, the API version that brought it, and
what an absent one means. A field that is set and refused is answered with 501 and its name.

| Field | Flag | Since | Default | |
|---|---|---|---|---|
"""

# Bodies whose fields no table has: what is read, and the file that reads each.
_BODIES = {
    "POST /commit": ("engine/files/commit.py", "Cmd Entrypoint Env ExposedPorts Labels User Volumes WorkingDir"),
    "POST /exec/{id}/start": ("engine/execs/session.py server/execs.py", "Detach Tty ConsoleSize"),
    "POST /networks/create": (
        "network/asked.py",
        "Name Driver Internal Attachable EnableIPv4 EnableIPv6 IPAM Options Labels ConfigOnly ConfigFrom",
    ),
    "POST /networks/{id...}/connect": ("server/networks.py", "Container EndpointConfig"),
    "POST /networks/{id...}/disconnect": ("server/networks.py", "Container Force"),
    "POST /volumes/create": ("engine/volumes/calls.py", "Name Driver DriverOpts Labels"),
}


class _Asked(ast.NodeVisitor):
    """What a handler, and the functions of its module that it gives the request to, read of a request."""

    def __init__(self, functions: dict[str, ast.AST]) -> None:
        self._functions = functions
        self._seen: set[str] = set()
        self._loops: dict[str, list[str]] = {}
        self.query: dict[str, None] = {}
        self.headers: dict[str, None] = {}

    def follow(self, name: str) -> None:
        if name in self._functions and name not in self._seen:
            self._seen.add(name)
            self.visit(self._functions[name])

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple):
            self._loops[node.target.id] = [one.value for one in node.iter.elts if isinstance(one, ast.Constant)]
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            if _is_query(function.value):
                for name in self._names(function.attr, node.args):
                    self.query[name] = None
            elif (
                function.attr == "get"
                and isinstance(function.value, ast.Attribute)
                and function.value.attr == "headers"
                and isinstance(node.args[0], ast.Constant)
            ):
                self.headers[str(node.args[0].value)] = None
        elif isinstance(function, ast.Name) and any(
            isinstance(one, ast.Name) and one.id in ("request", "query") for one in node.args
        ):
            self.follow(function.id)
        self.generic_visit(node)

    def _names(self, method: str, arguments: list[ast.expr]) -> list[str]:
        if method == "filters":
            return ["filters"]
        if method == "size_of_terminal":
            return ["h", "w"]
        if not arguments:
            return []
        first = arguments[0]
        if isinstance(first, ast.Constant):
            return [str(first.value)]
        return self._loops.get(first.id, []) if isinstance(first, ast.Name) else []


def _is_query(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "query") or (
        isinstance(node, ast.Attribute) and node.attr == "query"
    )


@cache
def _functions(module: str) -> dict[str, ast.AST]:
    tree = ast.parse((SOURCE / "server" / f"{module}.py").read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _asked(route: Route) -> tuple[list[str], list[str]]:
    """(query, headers) that the route's handler reads."""
    module, _, name = route.handler.partition(":")
    asked = _Asked(_functions(module))
    asked.follow(name)
    return list(asked.query), list(asked.headers)


def _body(what: str) -> list[str]:
    if what in ("POST /containers/create", "POST /wardian/plan"):
        return ["[below](#what-a-container-can-be-asked-for)"]
    if what == "POST /containers/{id}/update":
        return [*update._LIMITS, update._POLICY]
    if what == "POST /containers/{id}/exec":
        return list(exec_process._FIELDS)
    if what not in _BODIES:
        return []
    files, fields = _BODIES[what]
    text = "".join((SOURCE / file).read_text(encoding="utf-8") for file in files.split())
    unread = [field for field in fields.split() if f'"{field}"' not in text]
    if unread:
        raise SystemExit(f"tools/api_docs.py: {what}: {files} reads no {', '.join(unread)}")
    return fields.split()


def _takes(route: Route) -> str:
    if not route.handler or route.handler.startswith("absent:"):
        return ""
    query, headers = _asked(route)
    parts = [", ".join(f"`{name}`" for name in query)] if query else []
    parts += ["header: " + ", ".join(f"`{name.title()}`" for name in headers)] if headers else []
    body = _body(f"{route.method} {route.template}")
    parts += ["body: " + ", ".join(one if one.startswith("[") else f"`{one}`" for one in body)] if body else []
    return "; ".join(parts)


def _answer(route: Route) -> str:
    if not route.handler:
        return f"501: {reason(route) or 'not built yet'}"
    return "as a Docker without one" if route.handler.startswith("absent:") else "built"


def _accepted(option: Option) -> list[Any] | None:
    """The values that an option which is not built takes for "not set"; None for one that is built."""
    if option.check.__qualname__ != only(None).__qualname__:
        return None
    return list(inspect.getclosurevars(option.check).nonlocals["accepted"])


def _shown(value: object) -> str:
    return "" if value in (None, "", [], {}) else f"`{json.dumps(value)}`".replace("|", "\\|")


def _support(option: Option) -> str:
    accepted = _accepted(option)
    if accepted is None:
        return ""
    told = [shown for value in accepted if value not in (0, False) and (shown := _shown(value))]
    return "refused: not built yet" + (f"; {' and '.join(told)} means that it is not set" if told else "")


def _options() -> Iterator[str]:
    for option in sorted((one for one in TABLE if one.path), key=lambda one: (one.path.count("."), one.path)):
        if option.always and option.write and not option.flag and _accepted(option):
            continue  # what the engine keeps for itself
        flag = f"`{option.flag}`" if option.flag else ""
        yield f"| `{option.path}` | {flag} | {option.since} | {_shown(option.default)} | {_support(option)} |\n"


def text() -> str:
    built = sum(1 for route in ROUTES if route.handler)
    oldest, newest = format_version(MIN_API_VERSION), format_version(MAX_API_VERSION)
    out = [HEAD.format(oldest=oldest, newest=newest, built=built, all=len(ROUTES))]
    for title, routes in SECTIONS:
        out.append(
            f"\n## {title}\n\n| Operation | Since | Access | Kind | Takes | Answer |\n|---|---|---|---|---|---|\n"
        )
        for route in routes:
            cells = (f"`{route.method} {route.template}`", format_version(route.since), route.access, route.kind)
            out.append(f"| {' | '.join(cells)} | {_takes(route)} | {_answer(route)} |\n")
    return "".join([*out, CREATE_HEAD, *_options()])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
        if current != text():
            print("docs/api.md is not what the tables say: run tools/api_docs.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
