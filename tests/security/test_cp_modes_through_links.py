"""CVE-2021-41089: `docker cp` changed modes and owners of the host's files through links of the container."""

import contextlib
import os
import signal
import tarfile
from pathlib import Path

import pytest

from copied import Copied, member, tar_of
from engines import TestEngine


def _seen(path: Path) -> tuple[int, int, int, float]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime


@pytest.mark.parametrize("running", [True, False])
def test_no_mode_or_owner_of_the_host_is_changed(engine: TestEngine, tmp_path: Path, running: bool) -> None:
    secret, directory = tmp_path / "secret", tmp_path / "directory"
    secret.write_text("host\n")
    secret.chmod(0o600)
    directory.mkdir(mode=0o700)
    before = [_seen(secret), _seen(directory)]
    container = Copied(engine, ["sleep", "1000"])
    try:
        if running:
            container.start()
        up = "../" * 20
        for number, (link, kind) in enumerate(
            (str(path) if absolute else f"{up}{path}", kind)
            for path, kind in ((secret, tarfile.REGTYPE), (directory, tarfile.DIRTYPE))
            for absolute in (True, False)
        ):
            name = f"l{number}"
            attack = tar_of(
                member(name, kind=tarfile.SYMTYPE, link=link, mode=0o777),
                member(name, kind=kind, mode=0o4777),
                member(f"{name}/below", b"x", mode=0o777),
            )
            container.upload("/", attack)
            links = tar_of(
                member(name, kind=tarfile.SYMTYPE, link=link), member(f"h{number}", kind=tarfile.LNKTYPE, link=name)
            )
            container.upload("/tmp", links)
            container.upload(f"/tmp/{name}", tar_of(member(".", kind=tarfile.DIRTYPE, mode=0o777)))
    finally:
        container.remove()
    assert [_seen(secret), _seen(directory)] == before
    assert secret.read_text() == "host\n"
    assert os.listdir(directory) == []


def test_a_node_that_is_swapped_with_a_link_at_once(engine: TestEngine, tmp_path: Path) -> None:
    """The container puts a link to a file of the host where a fifo of the archive was made a moment ago."""
    secret = tmp_path / "secret"
    secret.write_text("host\n")
    secret.chmod(0o600)
    before = _seen(secret)
    container = Copied(engine, ["sleep", "1000"])
    assert container.upload("/", tar_of(member("w/there"))) == 200
    container.start()
    place = os.open(container.root + "/w", os.O_PATH)
    child = os.fork()
    if not child:
        while True:
            with contextlib.suppress(OSError):
                os.symlink(secret, "l", dir_fd=place)
            with contextlib.suppress(OSError):
                os.rename("l", "p", src_dir_fd=place, dst_dir_fd=place)
    try:
        attack = tar_of(*[member("p", kind=tarfile.FIFOTYPE, mode=0o4777) for _ in range(20)])
        for _ in range(100):
            container.upload("/w", attack)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(place)
        container.remove()
    assert _seen(secret) == before
