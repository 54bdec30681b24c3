"""Bodies of the API: the type of every field, names in any case."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from wardian.engine.options.table import TABLE
from wardian.errors import INVALID, WardianError
from wardian.server.messages import decode_json
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
def test_null_is_not_said_and_what_is_not_known_passes(handler: str) -> None:
    names = dict.fromkeys(BODIES[handler].known)
    assert conform(handler, {**names, "NewInDocker30": [1]}) == {"NewInDocker30": [1]}
    assert conform(handler, None) is None


def holding_null(shape: Shape) -> Iterator[Any]:
    """Values with a null in each place of a shape where there must be a value."""
    if isinstance(shape, Many | Words):
        of = shape.of if isinstance(shape, Many) else Leaf("string", str)
        yield from ([one] for one in (None, *holding_null(of)))
    elif isinstance(shape, Table):
        yield from ({"k": one} for one in (*(() if shape.pointers else (None,)), *holding_null(shape.of)))
    elif isinstance(shape, Fields):
        yield from ({name: one} for name, of in shape.known.items() for one in (None, *holding_null(of)))


def has_null(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(has_null, value.values() if isinstance(value, dict) else value))
    return value is None


@pytest.mark.parametrize("handler", BODIES)
def test_no_operation_sees_a_null(handler: str) -> None:
    for value in holding_null(BODIES[handler]):
        assert not has_null(conform(handler, value)), value


def test_null_is_the_zero_value_of_its_type() -> None:
    body = {
        "Labels": {"a": None, "b": "1"},
        "Cmd": ["a", None],
        "HostConfig": {
            "ConsoleSize": [None, 2],
            "PortBindings": {"80/tcp": [None], "81/tcp": None},
            "Ulimits": [None],
            "DeviceRequests": [{"Capabilities": [None]}],
        },
        "NetworkingConfig": {"EndpointsConfig": {"bridge": None}},
    }
    assert conform("containers:create", body) == {
        "Labels": {"a": "", "b": "1"},
        "Cmd": ["a", ""],
        "HostConfig": {
            "ConsoleSize": [0, 2],
            "PortBindings": {"80/tcp": [{}], "81/tcp": []},
            "Ulimits": [{}],
            "DeviceRequests": [{"Capabilities": [[]]}],
        },
        "NetworkingConfig": {"EndpointsConfig": {"bridge": None}},  # a nil pointer: Docker refuses it by that word
    }


@pytest.mark.parametrize(
    ("body", "kind"), [([], "an array"), ("x", "a string"), (1, "a number"), (1.5, "a number"), (True, "a bool")]
)
def test_a_body_is_an_object(body: Any, kind: str) -> None:
    with pytest.raises(WardianError, match=f"the body must be an object, not {kind}") as caught:
        conform("containers:create", body)
    assert caught.value.kind == INVALID


def test_bytes_that_are_no_utf8() -> None:
    """One U+FFFD for each, as Go; not one for each cut character."""
    assert decode_json(b'{"a\xff":"\xe4\xb8z\xed\xa0\x80"}') == {"a\ufffd": "\ufffd\ufffdz\ufffd\ufffd\ufffd"}
    assert decode_json('"ü€"'.encode()) == "ü€"
    with pytest.raises(msgspec.DecodeError):
        decode_json(b'{"a":\xff}')


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
    names = [name for name, shape in BODIES[handler].known.items() if not isinstance(shape, Whatever)]
    for case in (str.lower, str.upper):
        for name in names:
            with pytest.raises(WardianError, match=f"{name} of type"):
                conform(handler, {case(name): 1.5})


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
