"""Instructions of `--change`, against what Docker writes into the config."""

from typing import Any

import pytest

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.images.changes import apply_changes


@pytest.mark.parametrize(
    ("change", "config"),
    [
        ("CMD sh", {"Cmd": ["/bin/sh", "-c", "sh"]}),
        ('cmd ["a", "b c"]', {"Cmd": ["a", "b c"]}),
        ("ENTRYPOINT []", {"Entrypoint": []}),
        ('ENV A=1 B="x y" C=', {"Env": ["A=1", "B=x y", "C="]}),
        ("ENV A the rest", {"Env": ["A=the rest"]}),
        ("WORKDIR /a/../b/./c", {"WorkingDir": "/b/c"}),
        ("WORKDIR x", {"WorkingDir": "/x"}),
        ("USER app:1", {"User": "app:1"}),
        ("EXPOSE 80 53/udp 8000-8002", {"ExposedPorts": {f"{p}": {} for p in
            ("80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp")}}),
        ('LABEL a=b "c d"="e f"', {"Labels": {"a": "b", "c d": "e f"}}),
        ('VOLUME ["/a", "/b"]', {"Volumes": {"/a": {}, "/b": {}}}),
        ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ("STOPSIGNAL SIGQUIT", {"StopSignal": "SIGQUIT"}),
    ],
)  # fmt: skip
def test_a_change(change: str, config: dict[str, Any]) -> None:
    assert apply_changes({}, [change]) == config


def test_changes_build_on_what_is_there_and_leave_it_alone() -> None:
    before = {"Env": ["A=1", "B=2"], "WorkingDir": "/w", "Labels": {"x": "1"}}
    after = apply_changes(before, ["ENV A=3\nWORKDIR sub", "LABEL y=2"])
    assert after == {"Env": ["A=3", "B=2"], "WorkingDir": "/w/sub", "Labels": {"x": "1", "y": "2"}}
    assert before["Env"] == ["A=1", "B=2"]


@pytest.mark.parametrize(
    "change",
    ["FROM x", "RUN true", "ENV", "ENV A", 'ENV A="x', "EXPOSE http", "EXPOSE 70000", "VOLUME rel", "LABEL a=b c"],
)
def test_no_change(change: str) -> None:
    with pytest.raises(WardianError) as error:
        apply_changes({}, [change])
    assert error.value.kind == INVALID


def test_what_is_not_built_says_so() -> None:
    with pytest.raises(WardianError, match="HEALTHCHECK is not built yet") as error:
        apply_changes({}, ["HEALTHCHECK CMD true"])
    assert error.value.kind == NOT_IMPLEMENTED
