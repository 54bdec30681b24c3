"""CVE-2026-42306, CVE-2026-41568: `cp` mounted a container's volumes anew, and a swapped link sent such a mount to the
host. Here no process sees a mount that `cp` makes, and a destination that is a link stays in the container."""

import os
import tarfile
import threading
from pathlib import Path

from copied import Copied, member, tar_of
from engines import TestEngine


def test_the_place_of_a_mount_is_looked_for_in_the_container(engine: TestEngine, tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (volume / "f").write_text("volume\n")
    container = Copied(engine, ["sleep", "1000"], Binds=[f"{volume}:/v/data"])
    seen, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            with open(f"/proc/{engine.pid}/mountinfo") as file:
                seen.update(line.split()[4] for line in file)

    with open(f"/proc/{engine.pid}/mountinfo") as file:
        before = {line.split()[4] for line in file}
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert container.download("/v/data/f") == {"f": b"volume\n"}
        for target in (str(outside), "../" * 20 + str(outside)[1:], "/proc/1/root" + str(outside)):
            # the whole /v goes, and a link takes its place: the mount is then looked for through the link
            container.upload("/", tar_of(member("v", kind=tarfile.SYMTYPE, link=target)))
            for _ in range(50):
                container.download("/v/data/f")
                container.upload("/v/data", tar_of(member("g", b"x")))
            assert os.listdir(outside) == []
    finally:
        done.set()
        watcher.join()
        container.remove()
    assert (volume / "f").read_text() == "volume\n"
    assert not [path for path in seen - before if str(tmp_path) in path or engine.home.data_root in path]


def test_a_mount_is_not_taken_away_by_a_copy(engine: TestEngine, tmp_path: Path) -> None:
    """unlink(2) of a place where somebody else's mount namespace has something would detach it there."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "f").write_text("volume\n")
    container = Copied(engine, ["sleep", "1000"], Binds=[f"{volume}:/v/data"])
    try:
        for running in (False, True):
            if running:
                container.start()
            assert container.upload("/", tar_of(member("v", b"a file"))) == 500
            assert container.upload("/v", tar_of(member("data", b"a file"))) == 500
            assert container.upload("/", tar_of(member("v", kind=tarfile.SYMTYPE, link="/tmp"))) == 500
            assert container.download("/v/data/f") == {"f": b"volume\n"}
        assert container.upload("/etc", tar_of(member("hosts", b"mine"))) == 500
        assert b"127.0.0.1" in container.download("/etc/hosts")["hosts"]
    finally:
        container.remove()
    assert (volume / "f").read_text() == "volume\n"
