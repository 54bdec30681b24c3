"""What the paths of `cp` mean, and that nothing of an archive lands outside the place that was named."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from wardian.cli.command import Failure
from wardian.cli.cp import Place, local_path, renamed, split_argument, split_entry, where
from wardian.cli.local_tree import packed, unpack
from wardian.storage import IdMap, id_map


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("c:/x", ("c", "/x")),
        ("c:x", ("c", "x")),
        ("c:", ("c", "")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("../a:b", ("", "../a:b")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
    ],
)
def test_which_side_an_argument_is(text: str, parts: tuple[str, str]) -> None:
    assert split_argument(text) == parts


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a/b", ("/a", "b")),
        ("/a/b/", ("/a", "b")),
        ("/a/b/.", ("/a/b", ".")),
        ("/a", ("/", "a")),
        ("/", ("/", "/")),
        ("a", (".", "a")),
    ],
)
def test_a_path_and_its_last_component(path: str, parts: tuple[str, str]) -> None:
    assert split_entry(path) == parts


@pytest.mark.parametrize(
    ("source", "destination", "answer"),
    [
        (Place("/s/f", True), Place("/d", True, True), ("/d", "")),
        (Place("/s/f", True), Place("/d/x", True), ("/d", "x")),
        (Place("/s/f", True), Place("/d/new"), ("/d", "new")),
        (Place("/s", True, True), Place("/d/new"), ("/d", "new")),
        (Place("/s", True, True), Place("/d/new/"), ("/d", "new")),
        (Place("/s", True, True), Place("/d/x", True), "cannot copy directory"),
        (Place("/s/f", True), Place("/d/new/"), "no such directory"),
        (Place("/s/f", True), Place("/d/new/."), "no such directory"),
    ],
)
def test_where_it_goes(source: Place, destination: Place, answer: object) -> None:
    if isinstance(answer, str):
        with pytest.raises(Failure, match=answer):
            where(source, destination)
    else:
        assert where(source, destination) == answer


def test_endings_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_path("a/") == f"{tmp_path}/a/"
    assert local_path("a/.") == f"{tmp_path}/a/."
    assert local_path(".") == f"{tmp_path}/."
    assert local_path("/") == "/"
    assert renamed("/x/link/", "/y/target") == ("/y/target/", "link")
    assert renamed("/x/link/.", "/y/target") == ("/y/target/.", "")
    assert renamed("/x/same", "/y/same") == ("/y/same", "")


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> list[bytes]:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return [written.getvalue()]


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def test_an_archive_goes_through_no_link(tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (outside / "f").write_text("mine")
    attacks = [
        [_link("l", str(outside)), (tarfile.TarInfo("l/f"), b"theirs")],
        [_link("m", "../outside"), (tarfile.TarInfo("m/new"), b"theirs")],
        [(tarfile.TarInfo("../outside/f"), b"theirs")],
        [_link("n", str(outside)), _link("h", "n/f", tarfile.LNKTYPE)],
        [_link("h2", "../outside/f", tarfile.LNKTYPE)],
    ]
    for attack in attacks:
        with pytest.raises((Failure, OSError)):
            unpack(_archive(*attack), str(target), (), False)
    assert os.listdir(outside) == ["f"]
    assert (outside / "f").read_text() == "mine"
    # a link of that name is replaced, not written through
    unpack(_archive((tarfile.TarInfo("l"), b"theirs")), str(target), (), False)
    assert (outside / "f").read_text() == "mine"
    assert (target / "l").read_text() == "theirs"


def test_there_and_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep/er").mkdir(parents=True)
    target.mkdir()
    (source / "f").write_bytes(b"x" * 100_000)
    (source / "f").chmod(0o4750)
    os.link(source / "f", source / "deep/hard")
    os.symlink("../f", source / "deep/link")
    os.utime(source / "deep", (1_600_000_000, 1_600_000_000))
    unpack(packed(str(source), "source"), str(target), [("source", "other")], False)
    made = target / "other"
    assert (made / "f").read_bytes() == b"x" * 100_000
    assert (made / "f").stat().st_mode & 0o7777 == 0o4750
    assert (made / "f").stat().st_ino == (made / "deep/hard").stat().st_ino
    assert os.readlink(made / "deep/link") == "../f"
    assert (made / "deep").stat().st_mtime == 1_600_000_000
    assert (made / "deep/er").is_dir()


def test_ids_of_a_user_namespace() -> None:
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    mapped = id_map({"uidMappings": mapping, "gidMappings": mapping})
    assert mapped.outside(0, 7) == (100_000, 100_007)
    assert mapped.inside(100_000, 100_007) == (0, 7)
    assert mapped.inside(0, 70_000) == (0, 70_000)
    assert IdMap().outside(5, 6) == IdMap().inside(5, 6) == (5, 6)
