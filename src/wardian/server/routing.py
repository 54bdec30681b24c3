"""From a request's method and path to a row of the route table, its parameters and the API version asked for.

Rows are found by two dictionary look-ups (method, first and last path segment) and at most two or three regular
expressions: the table is long, a request should not pay for it. Nor should an engine's start: an expression is compiled
when it is first asked (all of them take 8 ms).
"""

import functools
import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.server import MAX_API_VERSION, MIN_API_VERSION
from wardian.server.routes import OPTIONS, Route

_VERSION = re.compile(r"/v(\d{1,3})\.(\d{1,3})(?=/)")
_PARAMETER = re.compile(r"\{(\w+)(\.\.\.)?\}")


class Match(NamedTuple):
    route: Route
    parameters: dict[str, str]
    version: tuple[int, int]


class Router:
    """Looks requests up in a table of routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, str, str], list[Route]] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        if "{" not in route.template:
            self._exact[route.method, route.template] = route
            return
        segments = route.template.split("/")
        last = "" if segments[-1].startswith("{") else segments[-1]
        self._patterns.setdefault((route.method, segments[1], last), []).append(route)

    def match(self, method: str, path: str) -> Match:
        """The row for a decoded path. Raises WardianError: 404 "page not found", 400 for a version out of range."""
        version, rest = split_version(path)
        if method == OPTIONS.method:
            return Match(OPTIONS, {}, version)
        found = self._find(method, rest)
        if found is None:
            raise WardianError(NOT_FOUND, "page not found", operation=method, subject=path)
        route, parameters = found
        if version < route.since:
            needed = f"{route.method} {rest} requires minimum API version {format_version(route.since)}"
            raise WardianError(INVALID, needed, operation=method, subject=path)
        return Match(route, parameters, version)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        route = self._exact.get((method, path))
        if route is not None:
            return route, {}
        segments = path.split("/")
        if len(segments) < 3:
            return None
        for last in (segments[-1], ""):
            for route in self._patterns.get((method, segments[1], last), ()):
                found = _compile(route.template).fullmatch(path)
                if found is not None:
                    return route, found.groupdict()
        return None


@functools.cache
def _compile(template: str) -> re.Pattern[str]:
    pattern = ""
    at = 0
    for found in _PARAMETER.finditer(template):
        some = ".+" if found[2] else "[^/]+"
        pattern += re.escape(template[at : found.start()]) + f"(?P<{found[1]}>{some})"
        at = found.end()
    return re.compile(pattern + re.escape(template[at:]))


def clean_path(path: str) -> str:
    """Without empty, "." and ".." segments; a last "/" stays. Docker redirects to it (github.com/gorilla/mux)."""
    if not path.startswith("/") or ("//" not in path and "/." not in path):
        return path
    cleaned = "/" + posixpath.normpath(f"/{path}").lstrip("/")
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def split_version(path: str) -> tuple[tuple[int, int], str]:
    """(API version, path without its prefix); the newest version when there is none. Texts are Docker's own."""
    found = _VERSION.match(path)
    if found is None:
        return MAX_API_VERSION, path
    version = int(found[1]), int(found[2])
    asked = format_version(version)
    if version > MAX_API_VERSION:
        newest = format_version(MAX_API_VERSION)
        message = f"client version {asked} is too new. Maximum supported API version is {newest}"
        raise WardianError(INVALID, message, operation="negotiate", subject=asked)
    if version < MIN_API_VERSION:
        message = (
            f"client version {asked} is too old. Minimum supported API version is {format_version(MIN_API_VERSION)}, "
            "please upgrade your client to a newer version"
        )
        raise WardianError(INVALID, message, operation="negotiate", subject=asked)
    return version, path[found.end() :]


def format_version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
