"""events by docker's command line and ours: filters, formats, times, and ours after an id."""

import json
import time

from clients_shared import IMAGE


def seen(docker, since: float, *words: str) -> list[str]:
    until = f"{time.time() + 0.05:.6f}"
    form = "{{.Type}} {{.Action}}"
    return docker.out("events", "--since", f"{since:.6f}", "--until", until, "--format", form, *words).splitlines()


def test_filters_and_formats(docker):
    since = time.time()
    docker("run", "-d", "--name", "told", "-l", "tier=front", IMAGE, "sleep", "1000")
    docker("exec", "told", "true")
    docker("create", "--name", "other", IMAGE, "true")
    docker("rm", "-f", "told", "other")
    identity = seen(docker, since, "--filter", "container=told", "--filter", "event=create")
    assert identity == ["container create"]
    for words, found in (
        (("event=start",), ["container start"]),
        (("event=start", "event=die"), ["container start", "container die"]),
        (("label=tier",), None),
        (("label=tier=back",), []),
        (("label=tier=front", "event=destroy"), ["container destroy"]),
        (("type=network",), ["network connect", "network disconnect"]),
        (("network=bridge", "event=connect"), ["network connect"]),
        (("container=other",), ["container create", "container destroy"]),
        (("container=nobody",), []),
        (("scope=swarm",), []),
        ((f"image={IMAGE}", "event=create"), ["container create", "container create"]),
        ((f"image={IMAGE.rpartition(':')[0]}", "event=die"), ["container die"]),
        (("daemon=nobody",), []),
    ):
        told = seen(docker, since, *(part for word in words for part in ("--filter", word)))
        assert (told == found) if found is not None else told, words
    assert seen(docker, since, "--filter", "event=exec_create") == ["container exec_create: true"]
    line = docker.out(
        "events",
        "--since",
        f"{since:.6f}",
        "--until",
        f"{time.time():.6f}",
        "--filter",
        "event=die",
        "--format",
        "json",
    )
    event = json.loads(line)
    assert event["status"] == "die" and event["Actor"]["Attributes"]["exitCode"] == "137"
    plain = docker.out("events", "--since", f"{since:.6f}", "--until", f"{time.time():.6f}", "--filter", "event=die")
    assert " container die " in plain and "exitCode=137" in plain and "name=told" in plain
    refused = docker("events", "--since", "2000", "--until", "1000", status=1).stderr
    assert b"`since` time (2000) cannot be after `until` time (1000)" in refused


def test_after_an_id(wardian):
    wardian("create", "--name", "first", IMAGE, "true")
    last = wardian.out("info", "--format", "{{.Wardian.LastEvent}}")
    wardian("create", "--name", "second", IMAGE, "true")
    until = f"{time.time() + 0.05:.6f}"
    form = "{{.Wardian.ID}} {{.Actor.Attributes.name}}"
    told = wardian.out("events", "--since", f"id:{last}", "--until", until, "--format", form)
    assert told == f"{int(last) + 1} second"
    assert b"no event has the id 999999999" in wardian("events", "--since", "id:999999999", status=1).stderr


def test_what_a_template_asks_of_an_event(wardian):
    wardian("create", "--name", "asked", IMAGE, "true")
    words = ("events", "--since", "1m", "--until", f"{time.time() + 0.05:.6f}", "--filter", "container=asked")
    form = "{{.Time}} {{.TimeNano}} {{.Scope}} [{{.Status}}{{.ID}}{{.From}}] {{.Actor.Attributes.none}} {{.Actor}}"
    seconds, nanoseconds, rest = wardian.out(*words, "--format", form).split(" ", 2)
    assert int(nanoseconds) // 10**9 == int(seconds)
    assert rest.startswith("local [] <no value> {") and f"map[image:{IMAGE} name:asked]}}" in rest
    for form, field, kind in (
        ("{{.Nope}}", ".Nope", "*events.Message"),
        ("{{.Actor.Nope}}", ".Actor.Nope", "events.Actor"),
    ):
        # told at once, though no event comes
        refused = wardian("events", "--format", form, status=64).stderr.decode()
        assert f"at <{field}>: can't evaluate field Nope in type {kind}" in refused
