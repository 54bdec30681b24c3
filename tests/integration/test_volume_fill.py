"""Copy-up is all or nothing: creates at once, an engine that is killed in the middle of it, a disk that is full."""

import asyncio
import contextlib
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import needs
from engines import TestEngine
from images_made import MadeImage, busybox_layer, docker_archive, layer_tar
from wardian.client import Client, Target
from wardian.engine.volumes import far as volume_far
from wardian.errors import WardianError
from wardian.kernel.mounts import Mount
from wardian.storage import IdMap

IMAGE = "fill:1"
COUNT = 1500


def load(engine: TestEngine) -> None:
    files = {"data/": None} | {f"data/{number:04}": b"x" * 4096 for number in range(COUNT)}
    archive = docker_archive({IMAGE: MadeImage([busybox_layer(), layer_tar(files)], {"Cmd": ["true"]})})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]


def create(engine: TestEngine, volume: str, place: Path | None = None) -> int:
    """With a `place`, the volume lies there: Docker's way to have one on NFS, or anywhere."""
    client = Client(Target(engine.socket))
    try:
        options = {"type": "none", "o": "bind", "device": str(place)}
        driver = {"VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}}} if place else {}
        mount = {"Type": "volume", "Source": volume, "Target": "/data", **driver}
        body = {"Image": IMAGE, "HostConfig": {"Mounts": [mount]}}
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


# ---- volumes that lie elsewhere ----


def test_a_volume_elsewhere_is_filled_once_and_nothing_else_is_left_in_it(new_engine: Any, tmp_path: Path) -> None:
    engine = new_engine()
    load(engine)
    place = tmp_path / "place"
    place.mkdir()
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(create(engine, "far", place))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [201] * 4
    assert len(os.listdir(place)) == COUNT
    (place / "0000").unlink()
    assert create(engine, "far", place) == 201
    assert len(os.listdir(place)) == COUNT - 1, "what somebody removed stays away"


def test_an_engine_that_is_killed_leaves_a_volume_elsewhere_to_be_filled_by_the_next_use(
    new_engine: Any, tmp_path: Path
) -> None:
    engine = new_engine()
    load(engine)
    for number in range(2):
        place = tmp_path / f"place{number}"
        place.mkdir()

        def attempt(volume: str = f"far{number}", place: Path = place) -> None:
            with contextlib.suppress(Exception):
                create(engine, volume, place)

        thread = threading.Thread(target=attempt)
        thread.start()
        end = time.monotonic() + 20
        while _copied(place) < COUNT * number // 2 + 1 and time.monotonic() < end:
            pass
        engine.kill()
        thread.join()
        engine.start()
        assert create(engine, f"far{number}", place) == 201
        assert sorted(os.listdir(place)) == [f"{one:04}" for one in range(COUNT)]


def _copied(place: Path) -> int:
    """How many files are in what is half."""
    count = 0
    for half in place.glob(".wardian-fill.*"):
        with contextlib.suppress(FileNotFoundError):
            count += len(os.listdir(half))
    return count


def filling(tmp_path: Path) -> volume_far.Fill:
    """Of a directory with two entries, into another."""
    image, place = tmp_path / "image", tmp_path / "place"
    for path in (image / "data" / "sub", place):
        path.mkdir(parents=True)
    (image / "data" / "file").write_text("from the image")
    os.chown(image / "data", 5, 6)

    def find(root: int) -> int:
        return os.open("data", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)

    return volume_far.Fill(Mount("bind", str(image)), find, str(place), IdMap(), "mine")


def test_what_is_whole_is_moved_on_and_what_somebody_else_made_stays(tmp_path: Path) -> None:
    """Cut short while the entries went to their places; the other engine's half is on its way."""
    needs.root()
    fill = filling(tmp_path)
    place = Path(fill.place)
    (place / "sub").mkdir()
    (place / "theirs").write_text("theirs")
    for whole in (".wardian-filled.mine", ".wardian-fill.other"):
        (place / whole / "sub").mkdir(parents=True)
        (place / whole / "file").write_text("whole")
    asyncio.run(volume_far.fill_far(fill))
    assert sorted(os.listdir(place)) == [".wardian-fill.other", "file", "sub", "theirs"]
    assert (place / "file").read_text() == "whole"


def test_a_fill_that_fails_leaves_the_volume_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.root()
    fill = filling(tmp_path)
    copy_tree = volume_far.copy_tree

    def full(*arguments: Any) -> None:
        copy_tree(*arguments)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(volume_far, "copy_tree", full)
    with pytest.raises(OSError, match="full"):
        asyncio.run(volume_far.fill_far(fill))
    assert os.listdir(fill.place) == []
    monkeypatch.undo()
    asyncio.run(volume_far.fill_far(fill))
    assert sorted(os.listdir(fill.place)) == ["file", "sub"]
    assert (os.stat(fill.place).st_uid, os.stat(fill.place).st_gid) == (5, 6)


def test_a_place_that_hangs_in_the_middle_holds_up_its_own_fills_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.root()
    hung = filling(tmp_path / "hung")
    other = filling(tmp_path / "other")
    copy_tree, answers = volume_far.copy_tree, threading.Event()
    of_hung = os.stat(tmp_path / "hung" / "image" / "data")

    def hangs(source: int, target: int, alive: Any, ids: Any) -> None:
        if os.path.samestat(os.fstat(source), of_hung):
            answers.wait(20)
        copy_tree(source, target, alive, ids)

    monkeypatch.setattr(volume_far, "copy_tree", hangs)
    monkeypatch.setattr(volume_far, "PATIENCE", 0.5)

    async def story() -> None:
        both = [asyncio.create_task(volume_far.fill_far(hung)) for _ in range(2)]
        await volume_far.fill_far(other)
        assert sorted(os.listdir(other.place)) == ["file", "sub"]
        said = await asyncio.gather(*both, return_exceptions=True)
        assert all(isinstance(one, WardianError) and f"{hung.place} does not answer" in one.message for one in said)
        answers.set()
        end = time.monotonic() + 10
        while volume_far._under_way and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert os.listdir(hung.place) == []
        await volume_far.fill_far(hung)
        assert sorted(os.listdir(hung.place)) == ["file", "sub"]

    asyncio.run(story())
