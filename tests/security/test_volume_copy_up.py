"""CVE-2020-1726 (an image's files over those of a volume that is in use), and images whose place for a volume leads
elsewhere (CVE-2022-23648: VOLUME /../../etc): what is copied is the image's, and only into what is empty."""

import os
from pathlib import Path
from typing import Any

import pytest

from engines import TestEngine
from images_made import Entry, Link, MadeImage, busybox_layer, docker_archive, layer_tar

SECRET = "a secret of the host"


def load(engine: TestEngine, name: str, files: dict[str, Any], volumes: list[str]) -> None:
    config = {"Cmd": ["true"], "Volumes": {one: {} for one in volumes}}
    archive = docker_archive({name: MadeImage([busybox_layer(), layer_tar(files)], config)})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]


def create(engine: TestEngine, image: str, **host: Any) -> dict[str, Any]:
    made = engine.client.call("POST", "/containers/create", {"Image": image, "HostConfig": host})
    found: Any = engine.client.call("GET", f"/containers/{made['Id']}/json")  # type: ignore[index, call-overload]
    return found  # type: ignore[no-any-return]


def files_below(path: str) -> list[str]:
    return sorted(os.path.relpath(os.path.join(at, name), path) for at, _, names in os.walk(path) for name in names)


def test_what_is_in_a_volume_stays(engine: TestEngine) -> None:
    load(engine, "evil:1", {"data/": None, "data/passwords": b"evil", "data/more": b"evil"}, [])
    engine.client.call("POST", "/volumes/create", {"Name": "kept"})
    data = Path(engine.home.volumes, "kept", "_data")
    (data / "passwords").write_text("mine")
    (data / ".hidden").write_text("mine")
    create(engine, "evil:1", Binds=["kept:/data"])
    assert files_below(str(data)) == [".hidden", "passwords"]
    (data / "passwords").unlink()  # one file that no listing shows keeps it as it is
    create(engine, "evil:1", Binds=["kept:/data"])
    assert files_below(str(data)) == [".hidden"]


@pytest.mark.parametrize("volume", ["/../../{0}", "/link", "/up/{0}", "/proc/self/root/{0}", "/a/../../..{0}"])
def test_a_place_that_leads_out_of_the_image(engine: TestEngine, tmp_path: Path, volume: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    outside = str(tmp_path).lstrip("/")
    up = "../" * 30
    load(engine, "evil:2", {"link": Link(up + outside), "up": Link(up), "a/": None}, [volume.format("/" + outside)])
    found = create(engine, "evil:2")
    (mount,) = found["Mounts"]
    assert mount["Destination"].startswith("/") and ".." not in mount["Destination"]
    assert files_below(mount["Source"]) == []
    assert (tmp_path / "secret").read_text() == SECRET and os.listdir(tmp_path) == ["secret"]


def test_links_and_nodes_of_the_image_are_copied_as_they_are(engine: TestEngine, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text(SECRET)
    victim.chmod(0o600)
    files = {
        "data/": None, "data/link": Link(str(victim)), "data/dir": Link(str(tmp_path)),
        "data/setuid": Entry(b"x", 0o6755, 7, 8),
    }  # fmt: skip
    load(engine, "evil:3", files, ["/data"])
    (mount,) = create(engine, "evil:3")["Mounts"]
    assert os.readlink(os.path.join(mount["Source"], "link")) == str(victim)
    assert os.path.islink(os.path.join(mount["Source"], "dir"))
    copied = os.stat(os.path.join(mount["Source"], "setuid"))
    assert (copied.st_mode & 0o7777, copied.st_uid, copied.st_gid) == (0o6755, 7, 8)
    assert victim.read_text() == SECRET and victim.stat().st_mode & 0o777 == 0o600


def test_nobody_else_on_the_host_reaches_a_volume(engine: TestEngine) -> None:
    engine.client.call("POST", "/volumes/create", {"Name": "closed"})
    assert os.stat(engine.home.volumes).st_mode & 0o077 == 0
