"""A layer's archive comes out of its tree and its outline as it went in, byte for byte."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.errors import WardianError
from wardian.home import make_home
from wardian.storage import LayerStore, Trash


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[LayerStore]:
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"))
    trash = Trash(home.trash)
    yield LayerStore(home, trash)
    trash.close()


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as made:
        for info, data in entries:
            made.addfile(info, io.BytesIO(data) if data else None)
    return file.getvalue()


def _entry(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mtime, info.mode = len(data), kind, link, 1_700_000_000.25, 0o755
    return info, data


def _plain() -> bytes:
    return _tar(
        [
            _entry("./", kind=tarfile.DIRTYPE),
            _entry("a/", kind=tarfile.DIRTYPE),
            _entry("a/empty"),
            _entry("a/file", b"x" * 300_001),
            _entry("a/again", kind=tarfile.LNKTYPE, link="a/file"),
            _entry("s", kind=tarfile.SYMTYPE, link="a"),
            _entry("s/through", b"through a link"),
            _entry("a/" + "long" * 60, b"long name"),
            _entry("a/.wh.gone"),
            _entry("a/.wh.odd", b"a whiteout with content"),
            _entry("é", b"utf-8"),
        ]
    )


def _replacing() -> bytes:
    return _tar(
        [
            _entry("file", b"first"),
            _entry("kept", kind=tarfile.LNKTYPE, link="file"),
            _entry("file", b"second one"),
            _entry("d/", kind=tarfile.DIRTYPE),
            _entry("d/e/", kind=tarfile.DIRTYPE),
            _entry("d/e/inside", b"a directory is replaced"),
            _entry("d", b"now a file"),
            _entry("d", kind=tarfile.SYMTYPE, link="other"),
            _entry("other/e/inside", b"elsewhere"),
        ],
        tarfile.GNU_FORMAT,
    )


@pytest.mark.parametrize(
    "data",
    [
        _plain(),
        _replacing(),
        _plain().rstrip(b"\0") + bytes(512 * 3),
        _plain() + b"what follows the end" * 100_000,
        _tar([]),
        b"",
    ],
    ids=["plain", "replacing", "short end", "more after the end", "empty", "nothing"],
)
def test_the_archive_comes_out_as_it_went_in(layers: LayerStore, data: bytes) -> None:
    staged = layers.stage(data[at : at + 70_000] for at in range(0, len(data), 70_000))
    layers.commit([staged])
    assert staged.facts.archive == len(data)
    assert b"".join(layers.archive(staged.diff_id)) == data
    assert hashlib.sha256(data).hexdigest() == staged.diff_id


def test_a_damaged_file_is_said(layers: LayerStore) -> None:
    staged = layers.stage([_plain()])
    layers.commit([staged])
    with open(os.path.join(layers.path(staged.diff_id), "a/file"), "r+b") as file:
        file.write(b"y")
    with pytest.raises(WardianError, match="is damaged on disk: its files give the digest"):
        for _ in layers.archive(staged.diff_id):
            pass
