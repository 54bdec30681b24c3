"""Copy-up is all or nothing: creates at once, an engine that is killed in the middle of it, a disk that is full."""

import contextlib
import os
import threading
import time
from typing import Any

from engines import TestEngine
from images_made import MadeImage, busybox_layer, docker_archive, layer_tar
from wardian.client import Client, Target

IMAGE = "fill:1"
COUNT = 1500


def load(engine: TestEngine) -> None:
    files = {"data/": None} | {f"data/{number:04}": b"x" * 4096 for number in range(COUNT)}
    archive = docker_archive({IMAGE: MadeImage([busybox_layer(), layer_tar(files)], {"Cmd": ["true"]})})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]


def create(engine: TestEngine, volume: str) -> int:
    client = Client(Target(engine.socket))
    try:
        body = {"Image": IMAGE, "HostConfig": {"Binds": [f"{volume}:/data"]}}
        return client.request("POST", "/containers/create", body).status
    finally:
        client.close()


def files_of(engine: TestEngine, volume: str) -> int:
    try:
        return len(os.listdir(os.path.join(engine.home.volumes, volume, "_data")))
    except FileNotFoundError:
        return 0


def test_creates_at_once_fill_one_volume_once(new_engine: Any) -> None:
    engine = new_engine()
    load(engine)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(create(engine, "shared"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [201] * 6
    assert files_of(engine, "shared") == COUNT
    names = {one["Name"] for one in engine.client.call("GET", "/volumes")["Volumes"]}
    assert names == {"shared"}


def test_an_engine_that_is_killed_leaves_a_volume_empty_or_whole(new_engine: Any) -> None:
    engine = new_engine()
    load(engine)
    started = time.monotonic()
    create(engine, "measure")
    took = time.monotonic() - started
    found = set()
    for number in range(5):
        volume = f"cut{number}"

        def attempt(name: str = volume) -> None:
            with contextlib.suppress(OSError, Exception):
                create(engine, name)

        thread = threading.Thread(target=attempt)
        thread.start()
        time.sleep(took * (number + 1) / 6)
        engine.kill()
        thread.join()
        engine.start()
        found.add(files_of(engine, volume))
        listed = {one["Name"] for one in engine.client.call("GET", "/volumes")["Volumes"]}
        assert (volume in listed) == os.path.isdir(os.path.join(engine.home.volumes, volume))
        assert create(engine, volume) == 201
        assert files_of(engine, volume) == COUNT
    assert found <= {0, COUNT}
    assert not [name for name in os.listdir(engine.home.staging) if name.startswith("volume.")]


def test_a_copy_up_that_fails_leaves_nothing(new_engine: Any) -> None:
    """A disk that is full in the middle of it: see also test_engine_full_disk."""
    engine = new_engine()
    load(engine)
    client = Client(Target(engine.socket))
    body = {"Image": IMAGE, "HostConfig": {"Binds": ["left:/data"]}, "Volumes": {"/bin/busybox": {}}}
    refused = client.request("POST", "/containers/create", body)
    client.close()
    assert refused.status == 500 and "cannot mount volume over existing file" in refused.error().message
    assert engine.client.call("GET", "/volumes")["Volumes"] == []
    assert os.listdir(engine.home.volumes) == []
