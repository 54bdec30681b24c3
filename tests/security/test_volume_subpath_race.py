"""A subpath that somebody who has the volume exchanges for a link while a container mounts it, as CVE-2021-30465
did (and Kubernetes' CVE-2021-25741): what is mounted lies in the volume, always."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive

IMAGE = "busybox:race"
SWAP = """
import ctypes, os, sys
libc, RENAME_EXCHANGE = ctypes.CDLL(None), 2
os.chdir(sys.argv[1])
while os.getppid() != 1:
    libc.renameat2(-100, b"sub", -100, b"evil", RENAME_EXCHANGE)
"""


@pytest.fixture
def raced(engine: TestEngine, tmp_path: Path) -> Iterator[str]:
    """A volume with /sub, a directory, and /evil, a link to `tmp_path`, which change places all the time."""
    (tmp_path / "file").write_text("SECRET of the host")
    with engine.client.stream(
        "POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}
    ) as stream:
        list(stream.objects())
    engine.client.call("POST", "/volumes/create", {"Name": "raced"})
    data = os.path.join(engine.home.volumes, "raced", "_data")
    os.mkdir(os.path.join(data, "sub"))
    Path(data, "sub", "file").write_text("of the volume")
    os.symlink(tmp_path, os.path.join(data, "evil"))
    racer = subprocess.Popen([sys.executable, "-c", SWAP, data])
    yield data
    racer.kill()
    racer.wait()
    engine.client.call("DELETE", "/volumes/raced")


def run(engine: TestEngine, subpath: str) -> tuple[int, str]:
    """The status of its start, and what it saw at the mount."""
    mount = {"Type": "volume", "Source": "raced", "Target": "/x", "VolumeOptions": {"Subpath": subpath}}
    host = {"Mounts": [mount], "NetworkMode": "none"}
    body = {"Image": IMAGE, "Cmd": ["cat", "/x/file"], "HostConfig": host}
    made: Any = engine.client.call("POST", "/containers/create", body)
    started = engine.client.request("POST", f"/containers/{made['Id']}/start")
    said = ""
    if started.status < 300:
        engine.client.call("POST", f"/containers/{made['Id']}/wait")
        logs = engine.client.request("GET", f"/containers/{made['Id']}/logs", query={"stdout": True, "stderr": True})
        said = logs.body.decode(errors="replace")
    engine.client.request("DELETE", f"/containers/{made['Id']}", query={"force": True})
    return started.status, said


def test_a_subpath_that_becomes_a_link(engine: TestEngine, raced: str) -> None:
    answers = [run(engine, "sub") for _ in range(80)]
    assert not [said for _, said in answers if "SECRET" in said]
    assert [said for status, said in answers if status < 300 and "of the volume" in said], "it was never mounted at all"
    assert [status for status, _ in answers if status >= 400], "it was never a link"


def test_a_subpath_that_is_a_link(engine: TestEngine, raced: str, tmp_path: Path) -> None:
    for target in (str(tmp_path), "../" * 20 + str(tmp_path).lstrip("/"), "/proc/1/root" + str(tmp_path)):
        os.symlink(target, os.path.join(raced, "fixed"))
        status, said = run(engine, "fixed")
        assert status >= 400 and not said
        os.unlink(os.path.join(raced, "fixed"))
