#!/usr/bin/env python3
"""Writes docs/api.md from the server's route table; `--check` fails when the file is not what the table says."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "api.md"
sys.path.insert(0, str(ROOT / "src"))

from wardian.server import MAX_API_VERSION, MIN_API_VERSION  # noqa: E402
from wardian.server.routes import ROUTES, SECTIONS, Route  # noqa: E402
from wardian.server.routing import format_version  # noqa: E402

HEAD = """# The API

Wardian speaks the Docker Engine API, versions {oldest} to {newest}, on a unix socket; `/v1.NN/` before a path asks for
a version, without it the newest answers. Written by `tools/api_docs.py` from `src/wardian/server/routes.py`:
edit the table, not this page.

{built} of {all} operations are built or answered as a Docker without such a thing answers; every other answers 501 and
names itself.

- **Access** is the class of caller that may: read, run, build, push, admin. Who may open the socket may do all of it.
- **Kind** is how the connection is used: *plain*, one answer; *stream*, an answer in pieces that ends when the client
  leaves; *handed over*, the raw socket goes to the container's supervisor (`Upgrade: tcp`, `101 UPGRADED`); *upgraded*,
  the raw socket stays in the engine.
"""


def _answer(route: Route) -> str:
    if not route.handler:
        return "501, not built yet"
    return "as a Docker without one" if route.handler.startswith("absent:") else "built"


def text() -> str:
    built = sum(1 for route in ROUTES if route.handler)
    oldest, newest = format_version(MIN_API_VERSION), format_version(MAX_API_VERSION)
    out = [HEAD.format(oldest=oldest, newest=newest, built=built, all=len(ROUTES))]
    for title, routes in SECTIONS:
        out.append(f"\n## {title}\n\n| Operation | Since | Access | Kind | Answer |\n|---|---|---|---|---|\n")
        for route in routes:
            cells = (f"`{route.method} {route.template}`", format_version(route.since), route.access, route.kind)
            out.append(f"| {' | '.join(cells)} | {_answer(route)} |\n")
    return "".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
        if current != text():
            print("docs/api.md is not what the route table says: run tools/api_docs.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
