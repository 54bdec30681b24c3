"""The route table: complete, unambiguous, every handler there, and what docs/api.md says of it."""

import inspect
import subprocess
import sys

import pytest

from wardian.errors import KINDS, STATUS, WardianError
from wardian.server import versions
from wardian.server.application import resolve_handler
from wardian.server.routes import ADMIN, BUILD, HANDED_OVER, PLAIN, PUSH, READ, ROUTES, RUN, STREAM, UPGRADED, Route
from wardian.server.routing import Router


def test_rows_are_well_formed_and_no_operation_stands_twice() -> None:
    for route in ROUTES:
        assert route.access in (READ, RUN, BUILD, PUSH, ADMIN), route
        assert route.kind in (PLAIN, STREAM, HANDED_OVER, UPGRADED), route
        assert (1, 24) <= route.since <= (1, 51), route
    assert len({(route.method, route.template) for route in ROUTES}) == len(ROUTES)


def test_every_operation_of_the_engine_api_has_a_row() -> None:
    # 107 operations of API 1.51 and the experimental checkpoints, and three of our own.
    own = [route for route in ROUTES if route.template.startswith("/wardian/")]
    assert len(ROUTES) - len(own) >= 107
    assert len(own) == 3


@pytest.mark.parametrize("route", [route for route in ROUTES if route.handler], ids=lambda route: route.handler)
def test_handlers_are_there(route: Route) -> None:
    assert inspect.iscoroutinefunction(resolve_handler(route.handler))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_every_row_is_found(route: Route) -> None:
    path = route.template.replace("{name...}", "host:5000/a/b:1").replace("{", "").replace("}", "")
    match = Router(ROUTES).match(route.method, f"/v1.51{path}")
    assert match.route is route
    if "{name...}" in route.template:
        assert match.parameters["name"] == "host:5000/a/b:1"


@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("DELETE", ""), ("POST", "/connect"), ("POST", "/disconnect")]
)
def test_a_networks_name_may_have_slashes(method: str, tail: str) -> None:
    assert Router(ROUTES).match(method, f"/v1.51/networks/a b/c{tail}").parameters == {"id": "a b/c"}


@pytest.mark.parametrize(
    "path", ["/", "", "/containers", "/containers//json", "/v1.51", "/v1.51/", "//", "/images//json"]
)
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(WardianError, match="page not found"):
        Router(ROUTES).match("GET", path)


def test_every_kind_of_error_has_a_status() -> None:
    assert set(STATUS) == KINDS


def test_adapters_name_rows_that_exist() -> None:
    rows = {(route.method, route.template) for route in ROUTES}
    for adapter in (*versions.REQUESTS, *versions.ANSWERS):
        assert (adapter.method, adapter.template) in rows


def test_the_documentation_is_current(pytestconfig: pytest.Config) -> None:
    tool = pytestconfig.rootpath / "tools" / "api_docs.py"
    subprocess.run([sys.executable, tool, "--check"], check=True)
