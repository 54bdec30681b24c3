"""Podman's options that Docker has no field for, in the body's object "Wardian": seen from inside."""

import time

import pytest

from benches import Bench, refused
from wardian.errors import INVALID


def test_umask_of_the_container_and_of_its_execs(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "umask; > /f; stat -c %a /f; sleep 1000", fields={"Wardian": {"Umask": "0077"}})
    end = time.monotonic() + 5
    while len(bench.output(identity).splitlines()) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    assert bench.output(identity).split() == ["0077", "600"]
    assert bench.engine.containers.inspect(identity)["Wardian"] == {"Umask": "0077"}


def test_without_it_inspect_is_docker_s(bench: Bench) -> None:
    assert "Wardian" not in bench.engine.containers.inspect(bench.create("true"))


def test_time_is_over(bench: Bench) -> None:
    before = time.monotonic()
    identity = bench.start("sleep", "1000", fields={"Wardian": {"Timeout": 1}})
    assert bench.finish(identity) == 137
    assert 0.9 < time.monotonic() - before < 5
    assert bench.state(identity)["Error"] == "timeout"


def test_time_is_over_for_a_paused_one_too(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", fields={"Wardian": {"Timeout": 1}})
    bench.run(bench.engine.containers.pause(identity))
    assert bench.finish(identity) == 137
    assert bench.state(identity)["Error"] == "timeout"


def test_one_that_ends_in_time_has_its_own_end(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "exit 4", fields={"Wardian": {"Timeout": 60}})
    assert bench.finish(identity) == 4
    assert bench.state(identity)["Error"] == ""


def test_the_longest_time_is_never_over(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "sleep 0.5; exit 4", fields={"Wardian": {"Timeout": 1 << 62}})
    assert bench.finish(identity) == 4


def test_another_engine_does_not_change_the_time(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", fields={"Wardian": {"Timeout": 2}})
    bench.restart()
    assert bench.finish(identity) == 137


@pytest.mark.parametrize(("zone", "said"), [("Asia/Tokyo", "JST"), ("Etc/GMT+5", "-05")])
def test_time_zone(bench: Bench, zone: str, said: str) -> None:
    assert bench.said("date", "+%Z", fields={"Wardian": {"Timezone": zone}}).strip() == said


@pytest.mark.parametrize(
    "own",
    [{"Timezone": "../../etc/shadow"}, {"Timezone": "No/Where"}, {"Umask": "8"}, {"Umask": "7777"}, {"Timeout": -1}],
)
def test_what_cannot_be_is_refused(bench: Bench, own: dict[str, object]) -> None:
    refused(INVALID, lambda: bench.create("true", fields={"Wardian": own}))
