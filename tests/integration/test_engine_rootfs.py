"""--rootfs: a directory in an image's place, itself or under an overlay; seen from inside and on the host."""

import contextlib
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benches import Bench, refused
from images_made import busybox_layer
from wardian.errors import CONFLICT, INVALID, NOT_IMPLEMENTED


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(busybox_layer())) as archive:
        archive.extractall(tmp_path / "root")
    (tmp_path / "root/data").mkdir()
    (tmp_path / "root/data/file").write_text("theirs")
    return tmp_path / "root"


def asked(rootfs: object, **more: object) -> dict[str, object]:
    return {"Image": "", "Wardian": {"Rootfs": str(rootfs)}, **more}


def test_the_directory_itself(bench: Bench, root: Path) -> None:
    identity = bench.start("sh", "-c", "cat /data/file; echo new > /data/new", fields=asked(root))
    assert bench.finish(identity) == 0
    assert bench.output(identity) == "theirs"
    assert (root / "data/new").read_text() == "new\n"
    assert not (root / ".dockerenv").exists()
    found = bench.engine.containers.inspect(identity)
    assert found["Wardian"] == {"Rootfs": str(root)}
    assert (found["Image"], found["Config"]["Image"]) == ("", str(root))
    assert bench.engine.containers.list(all=True, size=True)[0]["Image"] == str(root)
    refused(CONFLICT, lambda: bench.run(bench.engine.files.changes(identity)))
    bench.run(bench.engine.containers.start(identity))  # once more
    assert bench.finish(identity) == 0
    bench.run(bench.engine.containers.remove(identity))
    assert (root / "data/file").read_text() == "theirs" and (root / "bin/busybox").exists()


def test_an_overlay_over_it(bench: Bench, root: Path) -> None:
    script = "cat /data/file; rm /data/file; echo new > /data/new; test -f /.dockerenv"
    identity = bench.start("sh", "-c", script, fields=asked(f"{root}:O"))
    assert bench.finish(identity) == 0
    before = sorted(os.listdir(root / "data"))
    assert before == ["file"]
    changes = bench.run(bench.engine.files.changes(identity))
    assert [(one["Path"], one["Kind"]) for one in changes or ()] == [("/data", 0), ("/data/file", 2), ("/data/new", 1)]
    bench.run(bench.engine.containers.remove(identity))
    assert sorted(os.listdir(root / "data")) == before


@pytest.mark.parametrize("option", ["", ":O"])
def test_volumes_are_filled_from_it(bench: Bench, root: Path, option: str) -> None:
    fields = asked(f"{root}{option}", Volumes={"/data": {}})
    assert bench.said("sh", "-c", "cat /data/file; echo more > /data/more", fields=fields) == "theirs"
    assert os.listdir(root / "data") == ["file"]


@pytest.mark.parametrize("option", ["", ":O"])
def test_read_only_and_no_such_command(bench: Bench, root: Path, option: str) -> None:
    script = "echo x > /data/new || echo refused"
    said = bench.said("sh", "-c", script, ReadonlyRootfs=True, fields=asked(f"{root}{option}"))
    assert "refused" in said and not (root / "data/new").exists()
    identity = bench.create("/no/such", fields=asked(f"{root}{option}"))
    assert "no such file or directory" in refused(INVALID, lambda: bench.run(bench.engine.containers.start(identity)))


def test_mounts_of_a_stopped_one_do_not_reach_the_host(bench: Bench, root: Path, tmp_path: Path) -> None:
    """A copy of a mount is shared with it until it is made private."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "seen").write_text("by bind")
    identity = bench.create("true", Binds=[f"{outside}:/data"], fields=asked(root))

    async def copied() -> bytes:
        found = await bench.engine.files.download(identity, "/data/seen")
        return b"".join([piece async for piece in found.pieces])

    assert b"by bind" in bench.run(copied())
    assert os.listdir(root / "data") == ["file"]


def test_a_new_engine_finds_it(bench: Bench, root: Path) -> None:
    identity = bench.start("sleep", "1000", fields=asked(root))
    bench.restart()
    assert bench.state(identity)["Running"]
    bench.run(bench.engine.containers.remove(identity, force=True))
    assert (root / "data/file").exists()


def test_what_is_refused(bench: Bench, root: Path) -> None:
    def words(kind: str, rootfs: object, **more: object) -> str:
        return refused(kind, lambda: bench.create("true", fields=asked(rootfs, **more)))

    assert "no such directory" in words(INVALID, root / "nowhere")
    assert "no such directory" in words(INVALID, root / "data/file")
    assert "must be an absolute path" in words(INVALID, "relative")
    assert "takes the place of an image" in words(INVALID, root, Image="busybox")
    assert "option 'idmap'" in words(NOT_IMPLEMENTED, f"{root}:idmap")
    host = {"UsernsMode": "keep-id"}
    assert "user namespace" in refused(NOT_IMPLEMENTED, lambda: bench.create("true", fields=asked(root), **host))
    assert "no command specified" in refused(INVALID, lambda: bench.create(fields=asked(root)))


@pytest.mark.parametrize("option", ["", ":O"])
def test_one_that_holds_the_data_root_is_refused(bench: Bench, option: str) -> None:
    for directory in (os.path.dirname(bench.home.data_root), bench.home.data_root):
        said = refused(INVALID, lambda at=directory: bench.create("true", fields=asked(f"{at}{option}")))
        assert said.startswith(f"--rootfs {directory}: it holds the engine's data root {bench.home.data_root}")


@pytest.mark.parametrize("option", ["", ":O"])
def test_one_that_holds_the_data_root_by_a_bind_mount_is_refused(
    bench: Bench, root: Path, tmp_path: Path, option: str
) -> None:
    """By paths nobody would know; the kernel does (ELOOP). Also when the mount comes after the create."""
    directory = tmp_path / "bound"
    directory.mkdir()
    holds = f"--rootfs {directory}: it holds the engine's data root {bench.home.data_root}"
    with bound(os.path.dirname(bench.home.data_root), directory):
        assert refused(INVALID, lambda: bench.create("true", fields=asked(f"{directory}{option}"))).startswith(holds)
    with bound(str(root), directory):
        identity = bench.create("true", fields=asked(f"{directory}{option}"))
    with bound(os.path.dirname(bench.home.data_root), directory):
        assert refused(INVALID, lambda: bench.run(bench.engine.containers.start(identity))).startswith(holds)
    with bound(str(root), directory):
        bench.run(bench.engine.containers.start(identity))
        assert bench.finish(identity) == 0


@contextlib.contextmanager
def bound(source: str, target: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", source, str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)
