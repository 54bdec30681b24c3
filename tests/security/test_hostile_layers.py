"""Hostile layer archives (users.md 4.3 D): whatever an archive says, nothing outside its own directory changes.

Each case is unpacked inside a directory full of canaries, with the canaries' absolute path known to the archive.
"""

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wardian.errors import INVALID, WardianError
from wardian.storage.unpack import unpack

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, data: bytes = b"evil", **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str) -> Member:
    return file(name, b"", type=tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> Member:
    return file(name, b"", type=tarfile.LNKTYPE, linkname=target)


def directory(name: str, mode: int = 0o755) -> Member:
    return file(name, b"", type=tarfile.DIRTYPE, mode=mode)


def archive(members: list[Member]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as written:
        for info, data in members:
            written.addfile(info, io.BytesIO(data))
    return out.getvalue()


def state(path: Path) -> list[tuple[object, ...]]:
    """All that an attack could change of the canaries."""
    found = []
    for one in sorted([path, *path.rglob("*")]):
        status = one.lstat()
        content = one.read_bytes() if one.is_file() and not one.is_symlink() else b""
        found.append(
            (str(one), status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_mtime_ns, content)
        )
    return found


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Path]:
    """outside/ holds canaries; the layer goes to staging/layer beside it."""
    outside = tmp_path / "outside"
    (outside / "etc").mkdir(parents=True)
    (outside / "etc/passwd").write_text("canary")
    (outside / "victim").write_text("canary")
    (tmp_path / "staging").mkdir()
    before = state(outside)
    yield tmp_path
    assert state(outside) == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "staging"]
    assert set(os.listdir(tmp_path / "staging")) <= {"layer"}


OUT = "{outside}"  # replaced by the canaries' absolute path
UP = "../" * 30

REFUSED: dict[str, list[Member]] = {
    "dot dot": [file("../victim")],
    "dot dot deep": [file("a/b/../../../outside/victim")],
    "dot dot at the end": [directory("a/..")],
    "only dot dot": [directory("..")],
    "dot dot directory": [directory("../outside", 0o777)],
    "root as a link": [link(".", OUT)],
    "root as a link by slashes": [link("///", OUT)],
    "root as a file": [file("./")],
    "root as a hard link": [hard("/", "x")],
    "hard link to outside by dot dot": [hard("x", "../outside/victim")],
    "hard link to an absolute path": [hard("x", OUT + "/victim"), file("x")],
    "hard link through a link": [link("d", OUT), hard("x", "d/victim")],
    "hard link to the root": [hard("x", "/")],
    "hard link to a directory": [directory("d"), hard("x", "d")],
    "whiteout of dot dot": [file(".wh...")],
    "whiteout of dot": [file("a/.wh..")],
    "whiteout of nothing": [file("a/.wh.")],
    "whiteout below dot dot": [file("../.wh.outside")],
    "opaque outside": [file("../outside/.wh..wh..opq")],
    "empty name": [file("")],
    "a name of 300 bytes": [file("n" * 300)],
    "a path of 5000 bytes": [file("/".join(["d" * 99] * 50))],
    "below a file": [file("f"), file("f/x")],
    "link that goes round": [link("a", "b"), link("b", "a"), file("a/x")],
    "link to what is not there": [link("a", "nowhere"), file("a/x")],
    "below a magic link": [link("a", "/proc/self/root"), file("a/outside")],
    "whiteout below a link to nowhere": [link("d", OUT), file("d/.wh.victim")],
}

CONTAINED: dict[str, list[Member]] = {
    "absolute name": [file(OUT + "/victim")],
    "many slashes": [file("////" + OUT + "//victim")],
    "link then write through it": [link("d", "/"), file("d/victim")],
    "link up then write through it": [link("d", UP), file("d/victim")],
    "links in a row": [link("a", UP), link("b", "a"), link("c", "b"), file("c/victim")],
    "link replaced by a file": [link("x", OUT + "/victim"), file("x")],
    "link replaced by a directory": [link("x", OUT), directory("x", 0o777), file("x/victim")],
    "directory replaced by a link": [directory("x"), file("x/a"), link("x", "/"), file("x/victim")],
    "directory's times after it became a link": [directory("x", 0o700), link("x", OUT)],
    "chmod through a link": [link("x", OUT + "/victim"), file("x", mode=0o6777)],
    "device over a link": [link("x", OUT + "/victim"), file("x", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "fifo over a link": [link("x", OUT + "/victim"), file("x", b"", type=tarfile.FIFOTYPE)],
    "hard link to a link": [link("l", OUT + "/victim"), hard("h", "l"), file("h", b"evil")],
    "hard link over a link": [file("a"), link("l", OUT + "/victim"), hard("l", "a")],
    "opaque of the root": [file(".wh..wh..opq")],
    "opaque through a link": [link("d", "/"), file("d/.wh..wh..opq")],
    "whiteout through a link": [link("d", UP), file("d/.wh.outside")],
    "aufs leftovers": [file(".wh..wh.plnk"), directory(".wh..wh.orph")],
    "whiteout that is a directory": [directory(".wh.x")],
    "same name twice": [file("x", b"1"), file("x", b"2"), directory("x"), file("x/y"), file("x", b"3")],
    "file through usr merge": [link("bin", "usr/bin"), directory("usr"), directory("usr/bin"), file("bin/sh")],
}


def bent(members: list[Member], outside: Path) -> bytes:
    for info, _ in members:
        info.name = info.name.replace(OUT, str(outside))
        info.linkname = info.linkname.replace(OUT, str(outside))
    return archive(members)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(ground: Path, name: str) -> None:
    with pytest.raises(WardianError) as error:
        unpack([bent(REFUSED[name], ground / "outside")], str(ground / "staging/layer"))
    assert error.value.kind == INVALID


@pytest.mark.parametrize("name", CONTAINED)
def test_contained(ground: Path, name: str) -> None:
    unpack([bent(CONTAINED[name], ground / "outside")], str(ground / "staging/layer"))


UNWRITABLE: dict[str, dict[str, object]] = {
    "a uid past 32 bits": {"uid": 1 << 40},
    "a time past 64 bits": {"pax_headers": {"mtime": "9" * 40}},
    "an attribute with a NUL in its name": {"pax_headers": {"SCHILY.xattr.user.a\0b": "x"}},
    "an attribute without a name": {"pax_headers": {"SCHILY.xattr.": "x"}},
    "an attribute of 100 kB": {"pax_headers": {"SCHILY.xattr.user.a": "x" * 100_000}},
    "a device past 32 bits": {"type": tarfile.CHRTYPE, "devmajor": 1 << 20, "devminor": 1 << 20},
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_numbers_and_names_that_no_call_takes_are_the_archives_fault(ground: Path, name: str) -> None:
    with pytest.raises(WardianError) as error:
        unpack([archive([file("x", b"", **UNWRITABLE[name])])], str(ground / "staging/layer"))
    assert error.value.kind == INVALID


def _extension(kind: bytes, key: str, size: int) -> bytes:
    """A pax header (`x`, or `g`: for all that follows) of one record, without the member that it belongs to."""
    record = f"{size + 8:07d} {key}=".encode().ljust(size + 7, b"x") + b"\n"
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(record)
    return info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(-(-len(record) // 512) * 512, b"\0")


@pytest.mark.parametrize("between", [b"", archive([file("x")])[:1024]])
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_headers_without_end_do_not_fill_the_memory(ground: Path, kind: bytes, between: bytes) -> None:
    if kind == tarfile.XHDTYPE and between:
        return  # each member has its own, and they are forgotten with it
    chunks = (_extension(kind, f"comment.{number:04d}", 500_000) + between for number in range(20))
    with pytest.raises(WardianError, match="extension headers"):
        unpack(chunks, str(ground / "staging/layer"))


def test_attributes_of_directories_do_not_fill_the_memory(ground: Path) -> None:
    """They are kept to the end, because a default ACL would be handed on to what comes into the directory."""
    entries = (
        _extension(tarfile.XHDTYPE, f"SCHILY.xattr.user.{number}", 1_000_000) + archive([directory(str(number))])[:512]
        for number in range(200)
    )
    with pytest.raises(WardianError, match="attributes of directories take more than 128 MiB"):
        unpack(entries, str(ground / "staging/layer"))


def _xattrs(path: Path) -> set[str]:
    return set(os.listxattr(path, follow_symlinks=False))


@pytest.mark.parametrize("make", [lambda: file("x"), lambda: directory("x"), lambda: link("x", "y")])
def test_attributes_of_overlayfs_never_reach_the_disk(ground: Path, make: Callable[[], Member]) -> None:
    info, data = make()
    info.pax_headers = {
        f"SCHILY.xattr.{name}": "y"
        for name in (
            "trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy",
            "trusted.overlay.whiteout", "user.overlay.opaque", "user.overlay.redirect", "trusted.kept",
        )
    }  # fmt: skip
    unpack([archive([(info, data)])], str(ground / "staging/layer"))
    assert _xattrs(ground / "staging/layer/x") == {"trusted.kept"}


def test_modes_of_the_root_and_setuid_stay_inside(ground: Path) -> None:
    members = [directory(".", 0o700), file("su", b"#!", mode=0o6755, uid=7, gid=8)]
    unpack([archive(members)], str(ground / "staging/layer"))
    status = (ground / "staging/layer/su").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o6755, 7, 8)
    assert stat.S_IMODE((ground / "staging/layer").stat().st_mode) == 0o700
