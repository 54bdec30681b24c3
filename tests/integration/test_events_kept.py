"""Events outlive the engine, however it ends; who was cut off goes on after the last one that it saw."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.errors import WardianError

IMAGE = "events/busybox:1"
Start = Callable[..., TestEngine]


def loaded(new_engine: Start) -> TestEngine:
    engine = new_engine()
    with engine.client.stream(
        "POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}
    ) as said:
        said.read()
    return engine


def start(engine: TestEngine, *command: str) -> str:
    made = engine.client.call("POST", "/containers/create", {"Image": IMAGE, "Cmd": list(command)})
    assert isinstance(made, dict)
    engine.client.call("POST", f"/containers/{made['Id']}/start")
    return str(made["Id"])


def events(engine: TestEngine, since: str, **filters: list[str]) -> list[dict[str, Any]]:
    query = {"since": since, "until": f"{time.time() + 0.1:.6f}", "filters": json.dumps(filters)}
    with engine.client.stream("GET", "/events", query=query) as stream:
        return [event for event in stream.objects() if isinstance(event, dict)]


def told(found: list[dict[str, Any]]) -> list[str]:
    return [f"{event['Type']} {event['Action']}" for event in found]


def last_id(engine: TestEngine) -> int:
    info = engine.client.call("GET", "/info")
    assert isinstance(info, dict)
    return int(info["Wardian"]["LastEvent"])


def test_none_is_lost_when_the_engine_is_killed(new_engine: Start) -> None:
    engine = loaded(new_engine)
    seen = last_id(engine)
    identity = start(engine, "sleep", "1000")
    engine.kill()  # at once: nothing was given time to be written
    engine.start()
    engine.client.call("POST", f"/containers/{identity}/kill")
    found = events(engine, f"id:{seen}")
    assert told(found) == [
        "container create",
        "network connect",
        "container start",
        "daemon start",
        "container kill",
        "container die",
        "network disconnect",
    ]
    identities = [event["Wardian"]["ID"] for event in found]
    assert identities == sorted(set(identities)) and identities[0] == seen + 1
    assert told(events(engine, f"id:{identities[2]}")) == told(found)[3:]
    assert told(events(engine, f"id:{identities[-1]}")) == []
    assert told(events(engine, "0", type=["container"], event=["start"])) == ["container start"]


def test_an_end_that_no_engine_saw(new_engine: Start) -> None:
    engine = loaded(new_engine)
    start(engine, "sleep", "0.5")
    seen = last_id(engine)
    engine.kill()
    time.sleep(1)
    engine.start()
    assert told(events(engine, f"id:{seen}")) == ["daemon start", "container die", "network disconnect"]


def test_what_a_killed_engine_had_no_time_to_tell(new_engine: Start) -> None:
    """Its last words are taken away: as if it had been killed between a step and the event of it."""
    engine = loaded(new_engine)
    identity = start(engine, "sleep", "1000")
    removed = start(engine, "true")
    time.sleep(0.5)
    engine.client.call("DELETE", f"/containers/{removed}")
    engine.kill()
    (path,) = [entry.path for entry in os.scandir(engine.home.events)]
    with open(path, "rb") as file:
        lines = file.readlines()
    words = {(identity, "start"), (removed, "destroy")}
    left = [line for line in lines if (json.loads(line)["Actor"]["ID"], json.loads(line)["Action"]) not in words]
    assert len(left) == len(lines) - 2
    with open(path, "wb") as file:
        file.writelines(left)
    engine.start()
    found = events(engine, "0.5", type=["container"], event=["start", "destroy"])
    assert {(event["Actor"]["ID"], event["Action"]) for event in found} == words | {(removed, "start")}


def test_an_engine_that_was_told_to_end(new_engine: Start) -> None:
    engine = new_engine()
    seen = last_id(engine)
    engine.terminate()
    engine.start()
    found = events(engine, f"id:{seen}", type=["daemon"])
    assert told(found) == ["daemon stop", "daemon start"]
    assert found[1]["Wardian"]["ID"] == found[0]["Wardian"]["ID"] + 1
    assert found[0]["Actor"]["Attributes"]["name"] == os.uname().nodename


def test_an_id_that_is_not_known(new_engine: Start) -> None:
    engine = new_engine()
    for since, status, words in (
        ("id:999999", 400, "no event has the id 999999"),
        ("id:x", 400, "is no id of an event"),
    ):
        with pytest.raises(WardianError, match=words) as caught:
            events(engine, since)
        assert getattr(caught.value, "status", 0) == status
    engine.terminate()
    (path,) = [entry.path for entry in os.scandir(engine.home.events)]
    os.rename(path, os.path.join(engine.home.events, f"{5000:020d}.jsonl"))  # as if older ones had been let go
    engine.start()
    with pytest.raises(WardianError, match="the events after 3 are not kept any more: the oldest is 5000") as caught:
        events(engine, "id:3")
    assert getattr(caught.value, "status", 0) == 409


def test_events_of_an_earlier_version_are_taken_over(new_engine: Start) -> None:
    engine = new_engine()
    engine.terminate()
    old = {
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "x", "Attributes": {}},
        "scope": "local",
        "time": 1,
        "timeNano": 1_000_000_000,
    }
    with sqlite3.connect(engine.home.database) as database:
        database.execute("INSERT INTO event (time, body) VALUES (?, ?)", (1_000_000_000, json.dumps(old)))
    database.close()
    engine.start()
    assert [event["Actor"]["ID"] for event in events(engine, "0.5", type=["container"])] == ["x"]
    engine.terminate()
    engine.start()
    assert len(events(engine, "0.5", type=["container"])) == 1


def test_docker_shows_past_and_present_ones(new_engine: Start) -> None:
    """Past ones, then what comes, with no hole and nothing twice between them."""
    engine = loaded(new_engine)
    seen = last_id(engine)
    start(engine, "true")
    with engine.client.stream("GET", "/events", query={"since": f"id:{seen}"}) as stream:
        found = stream.objects()
        first = [next(found) for _ in range(3)]
        engine.client.call("POST", "/containers/prune")
        while True:
            event = next(found)
            assert isinstance(event, dict)
            first.append(event)
            if event["Action"] in ("destroy", "prune"):
                break
    identities = [event["Wardian"]["ID"] for event in first if isinstance(event, dict)]
    assert identities == list(range(seen + 1, identities[-1] + 1))


def test_a_few_large_labels_are_not_all_of_the_history(new_engine: Start) -> None:
    """Who hears of them at once has them whole; the history has their beginning."""
    engine = loaded(new_engine)
    seen, label = last_id(engine), "x" * (2 << 20)
    with engine.client.stream("GET", "/events", query={"until": f"{time.time() + 10:.6f}"}) as stream:
        for number in range(6):
            body = {"Image": IMAGE, "Labels": {"large": label, "number": str(number)}}
            engine.client.call("POST", "/containers/create", body)
        live = [event for event, _ in zip(stream.objects(), range(6), strict=False)]
    assert [len(event["Actor"]["Attributes"]["large"]) for event in live] == [len(label)] * 6
    found = events(engine, f"id:{seen}")
    assert [event["Actor"]["Attributes"]["number"] for event in found] == list("012345")
    assert all(event["Actor"]["Attributes"]["large"] == label[:256] + "…" for event in found)
    engine.kill()
    engine.start()
    assert last_id(engine) > live[-1]["Wardian"]["ID"]
