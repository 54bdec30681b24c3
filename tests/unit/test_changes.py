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
    with pytest.raises(WardianError, match="ONBUILD is not built yet") as error:
        apply_changes({}, ["ONBUILD RUN true"])
    assert error.value.kind == NOT_IMPLEMENTED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NONE", {"Test": ["NONE"]}),
        ("--interval=1s NONE", {"Test": ["NONE"]}),
        ('CMD ["a","b c"]', {"Test": ["CMD", "a", "b c"]}),
        ("cmd a", {"Test": ["CMD-SHELL", "a"]}),
        ("\t--retries=2\tCMD\ta b ", {"Test": ["CMD-SHELL", "a b"], "Retries": 2}),
        ("--interval=0s --retries=0 CMD a", {"Test": ["CMD-SHELL", "a"]}),
        (
            '--interval=5s --timeout=1m30s --start-period=2s --start-interval=1.5s --retries=4 CMD a "x y" || b',
            {
                "Test": ["CMD-SHELL", 'a "x y" || b'],
                "Interval": 5 * 10**9,
                "Timeout": 90 * 10**9,
                "StartPeriod": 2 * 10**9,
                "StartInterval": 1500000000,
                "Retries": 4,
            },
        ),
    ],
)
def test_a_health_check(text: str, expected: dict[str, object]) -> None:
    assert apply_changes({}, [f"HEALTHCHECK {text}"]) == {"Healthcheck": expected}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "HEALTHCHECK requires at least one argument"),
        ("NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("CMD", "Missing command after HEALTHCHECK CMD"),
        ("X y", 'Unknown type "X" in HEALTHCHECK (try CMD)'),
        ("--interval=5us CMD a", 'Interval "interval" cannot be less than 1ms'),
        ("--timeout=-5s CMD a", 'Interval "timeout" cannot be less than 1ms'),
        ("--interval=x CMD a", 'time: invalid duration "x"'),
        ("--retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("--retries=x CMD a", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("--bogus=1 CMD a", "unknown flag: --bogus"),
        ("--interval CMD a", "missing a value on flag: --interval"),
    ],
)
def test_a_health_check_that_is_none(text: str, says: str) -> None:
    with pytest.raises(WardianError) as caught:
        apply_changes({}, [f"HEALTHCHECK {text}"])
    assert caught.value.message == says
