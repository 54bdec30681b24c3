"""Run configurations of images: what the engine relies on is checked when they come."""

from typing import Any

import pytest

from wardian.images.runconfig import fault, normal


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"Env": None, "Labels": None, "Cmd": [], "Unknown": 5, "User": ""},
        {"Env": ["A=1"], "Cmd": ["a"], "Labels": {"a": ""}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": None}},
        {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9, "Retries": 3}, "ArgsEscaped": True},
        {"Entrypoint": "sh", "Shell": ["/bin/sh", "-c"]},
    ],
)
def test_what_can_be_used(config: dict[str, Any]) -> None:
    assert fault(config) == ""


@pytest.mark.parametrize("name", ["Env", "Cmd", "Entrypoint", "Shell", "OnBuild"])
@pytest.mark.parametrize("value", [5, True, {"a": 1}, [1], ["a", None], [[]]])
def test_lists_of_strings(name: str, value: object) -> None:
    assert fault({name: value}) == f"{name} of its run configuration is not a list of strings"


@pytest.mark.parametrize("name", ["Labels", "ExposedPorts", "Volumes", "Healthcheck"])
@pytest.mark.parametrize("value", [5, True, "x", ["a"], [[]], {"Test": 5}])
def test_objects(name: str, value: object) -> None:
    assert fault({name: value}).startswith(f"{name} of its run configuration is not ")


@pytest.mark.parametrize("name", ["User", "WorkingDir", "StopSignal"])
@pytest.mark.parametrize("value", [5, True, ["a"], {}])
def test_strings(name: str, value: object) -> None:
    assert fault({name: value}) == f"{name} of its run configuration is not a string"


def test_a_command_of_one_string_is_a_list_of_one() -> None:
    assert normal({"Cmd": "ls -l", "Env": ["A=1"]}) == {"Cmd": ["ls -l"], "Env": ["A=1"]}
