"""Bodies of the API as a client sends them: wrong types, names in another case, very long ones, names of images."""

from collections.abc import Iterator
from typing import Any

import pytest

from engines import TestEngine
from wardian.server.routes import ROUTES
from wardian.server.shapes import BODIES, Fields, Leaf, Shape, Whatever

REFUSED = "invalid reference format: repository name (library/BB) must be lowercase"


def ask(engine: TestEngine, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
    answer = engine.client.request(method, path, query=query, body=body)
    return answer.status, answer.json()


def fields(shape: Shape, above: str = "") -> Iterator[tuple[str, Any]]:
    """Each field with a body that has another type there."""
    assert isinstance(shape, Fields)
    for name, of in shape.known.items():
        if isinstance(of, Fields):
            yield from ((place, {name: body}) for place, body in fields(of, f"{above}{name}."))
        elif not isinstance(of, Whatever):
            yield f"{above}{name}", {name: 1 if isinstance(of, Leaf) and of.go != "int64" else "1"}


@pytest.mark.parametrize("handler", BODIES)
def test_wrong_types_are_told(engine: TestEngine, handler: str) -> None:
    route = next(route for route in ROUTES if route.handler == handler)
    path = route.template.replace("{id}", "none").replace("{id...}", "none")
    for place, body in fields(BODIES[handler]):
        if place.endswith(("Cmd", "Entrypoint", "Shell", "CapAdd", "CapDrop")) and handler != "execs:create":
            continue  # a string is one word
        status, said = ask(engine, route.method, path, body)
        assert (status, said["message"].count(f".{place} of type")) == (400, 1), (place, said)


def test_names_in_any_case(engine: TestEngine, engine_socket: str) -> None:
    body = {"image": "wardian/hello", "hostconfig": {"memory": 64 << 20, "NETWORKmode": "none"}, "labels": {"A": "b"}}
    status, made = ask(engine, "POST", "/containers/create", body)
    assert status == 201, made
    found = ask(engine, "GET", f"/containers/{made['Id']}/json")[1]
    assert (found["HostConfig"]["Memory"], found["HostConfig"]["NetworkMode"]) == (64 << 20, "none")
    assert found["Config"]["Labels"]["A"] == "b"
    assert found["State"]["Reason"] == ""
    status, said = ask(engine, "POST", "/containers/create", {"image": "wardian/hello", "hostconfig": {"nonsense": 1}})
    assert (status, "nonsense" in said["message"]) == (501, True)


def test_a_long_body(engine: TestEngine, engine_socket: str) -> None:
    body = {"Image": "wardian/hello", "Labels": {"long": "x" * (10 << 20)}}
    status, made = ask(engine, "POST", "/containers/create", body)
    assert status == 201, made
    found = ask(engine, "GET", f"/containers/{made['Id']}/json")[1]
    assert found["Config"]["Labels"]["long"] == body["Labels"]["long"]
    status, said = ask(engine, "POST", "/containers/create", body | {"Domainname": "x" * (8 << 20)})
    assert (status, said["message"]) == (400, "the request's body is longer than 16 MiB (16777216 bytes)")


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/images/BB/json", {}),
        ("GET", "/images/BB/history", {}),
        ("DELETE", "/images/BB", {}),
        ("POST", "/images/BB/tag", {"repo": "x"}),
        ("POST", "/images/wardian/hello/tag", {"repo": "BB"}),
        ("GET", "/images/get", {"names": "BB"}),
        ("GET", "/images/BB/get", {}),
        ("POST", "/images/BB/push", {"tag": "x"}),
        ("POST", "/images/create", {"fromImage": "BB"}),
        ("POST", "/images/create", {"fromSrc": "-", "repo": "BB"}),
        ("GET", "/distribution/BB/json", {}),
        ("POST", "/containers/create", None),
    ],
)
def test_no_name_of_an_image_has_capitals(engine: TestEngine, method: str, path: str, query: Any) -> None:
    body = {"Image": "BB"} if query is None else None
    status, said = ask(engine, method, path, body, **(query or {}))
    assert (status, said["message"]) == (400, REFUSED)
