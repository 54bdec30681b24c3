"""A client's regular expression that takes exponential time in a backtracking matcher: filters of names, for which it
is enough to be allowed to read, and the choice of a log's labels and variables. The engine answers everybody meanwhile.
"""

import json
import threading
from typing import Any

import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client import Client, Target

IMAGE = "busybox:patterns"
EVIL = "(([0-9a-f])+)+Z"
LONG = "0123456789abcdef" * 4
PATIENCE = 15.0  # on a busy machine; the attack takes for ever
PATHS = ("/volumes", "/networks", "/containers/json")


@pytest.fixture(scope="module")
def victim(engine: TestEngine) -> TestEngine:
    client = engine.client
    with client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as said:
        said.read()
    client.call("POST", "/volumes/create", {"Name": LONG})
    client.call("POST", "/networks/create", {"Name": LONG, "Internal": True})
    client.call("POST", "/containers/create", {"Image": IMAGE}, {"name": LONG})
    return engine


def _asked(engine: TestEngine, method: str, path: str, body: object = None, /, **query: object) -> Any:
    """Its answer. An engine that gives none is killed, so that its end does not wait for it, too."""
    found: list[Any] = []
    client = Client(Target(engine.socket))

    def ask() -> None:
        found.append(client.request(method, path, body, query))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not found:
        engine.kill()
        pytest.fail(f"{method} {path}: no answer")
    client.close()
    return found[0]


def _names(engine: TestEngine, path: str, pattern: str) -> list[str]:
    filters = json.dumps({"name": [pattern]})
    answer = _asked(engine, "GET", path, all=True, filters=filters)
    assert answer.status == 200, answer.body
    listed = answer.json()
    listed = listed["Volumes"] if isinstance(listed, dict) else listed
    return [one["Names"][0].strip("/") if "Names" in one else one["Name"] for one in listed]


@pytest.mark.parametrize("path", PATHS)
def test_a_filter_of_names(victim: TestEngine, path: str) -> None:
    assert _names(victim, path, EVIL) == []
    assert _names(victim, path, f"^{LONG}$") == _names(victim, path, "^0[1-9]+a.*f$") == [LONG]
    assert _names(victim, path, "^123") == _names(victim, path, "(") == []


@pytest.mark.parametrize("option", ["labels-regex", "env-regex"])
def test_the_attributes_of_a_log(victim: TestEngine, option: str) -> None:
    log = {"Type": "json-file", "Config": {option: EVIL}}
    host = {"LogConfig": log, "NetworkMode": "none"}
    body = {"Image": IMAGE, "Cmd": ["true"], "Labels": {LONG: "x"}, "Env": [f"{LONG}=x"], "HostConfig": host}
    made = _asked(victim, "POST", "/containers/create", body)
    assert made.status == 201, made.body
    started = _asked(victim, "POST", f"/containers/{made.json()['Id']}/start")
    assert started.status == 204, started.body


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "(a{1000}){1000}", "((.?){50}){20}"])
def test_what_is_none_or_too_large_is_refused(victim: TestEngine, pattern: str) -> None:
    log = {"Type": "json-file", "Config": {"labels-regex": pattern}}
    made = _asked(victim, "POST", "/containers/create", {"Image": IMAGE, "HostConfig": {"LogConfig": log}})
    assert made.status == 400 and b"error parsing regexp" in made.body, made.body
