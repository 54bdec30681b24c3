"""Bodies of the API: the type of every field, names in any case."""

from collections.abc import Iterator
from typing import Any

import pytest

from wardian.engine.options.table import TABLE
from wardian.errors import INVALID, WardianError
from wardian.server.routes import ROUTES
from wardian.server.shapes import BODIES, Fields, Leaf, Many, Shape, Table, Whatever, Words, conform

WRONG: dict[str, list[Any]] = {
    "string": [7, True, ["x"], {}],
    "bool": ["true", 1, [], {}],
    "int64": ["1", True, 1.5, [], {}],
}


def wrong(shape: Shape) -> Iterator[Any]:
    """Values that are not of a shape, each in one place."""
    if isinstance(shape, Leaf):
        yield from WRONG[shape.go]
    elif isinstance(shape, Many | Words):
        of = shape.of if isinstance(shape, Many) else Leaf("string", str)
        yield from ({}, 7, *([] if isinstance(shape, Words) else ["x"]), *([one] for one in wrong(of)))
    elif isinstance(shape, Table):
        yield from ([], "x", 7, *({"k": one} for one in wrong(shape.of)))
    elif isinstance(shape, Fields):
        yield from ([], "x", 7)
        yield from ({name: one} for name, of in shape.known.items() for one in wrong(of))


@pytest.mark.parametrize("handler", BODIES)
def test_a_value_of_another_type_is_refused(handler: str) -> None:
    assert any(route.handler == handler for route in ROUTES)
    for name, shape in BODIES[handler].known.items():
        for value in wrong(shape):
            with pytest.raises(WardianError) as caught:
                conform(handler, {name: value})
            assert caught.value.kind == INVALID
            assert f"Go struct field {BODIES[handler].go}.{name}" in caught.value.message, value


@pytest.mark.parametrize("handler", BODIES)
def test_null_and_what_is_not_known_pass(handler: str) -> None:
    names = dict.fromkeys(BODIES[handler].known)
    assert conform(handler, {**names, "NewInDocker30": [1]}) == {**names, "NewInDocker30": [1]}


def test_every_option_of_a_container_has_its_shape() -> None:
    for row in TABLE:
        if row.path in ("", "MountPoints", "IdMaps"):
            continue
        shape: Shape = BODIES["containers:create"]
        for name in row.path.split("."):
            assert isinstance(shape, Fields), row.path
            assert name in shape.known, row.path
            shape = shape.known[name]
        assert not isinstance(shape, Whatever)


@pytest.mark.parametrize("handler", BODIES)
def test_every_name_is_known_in_any_case(handler: str) -> None:
    names = dict.fromkeys(BODIES[handler].known)
    assert conform(handler, {name.lower(): None for name in names}) == names
    assert conform(handler, {name.upper(): None for name in names}) == names


def test_names_in_any_case() -> None:
    body = {"image": "x", "hostconfig": {"BINDS": ["/a:/b"], "portBindings": {"80/tcp": [{"hostport": "1"}]}}}
    assert conform("containers:create", body) == {
        "Image": "x",
        "HostConfig": {"Binds": ["/a:/b"], "PortBindings": {"80/tcp": [{"HostPort": "1"}]}},
    }
    assert conform("containers:create", {"labels": {"CaSe": "kept"}}) == {"Labels": {"CaSe": "kept"}}
    assert conform("containers:create", {"image": "x", "Image": "y"}) == {"Image": "y"}
    assert conform("networks:disconnect", {"force": True}) == {"Force": True}
    with pytest.raises(WardianError, match=r"CreateRequest\.Image of type string"):
        conform("containers:create", {"IMAGE": 1})
