"""A container makes a directory of as many files as it likes; `docker cp` of something over it costs the engine no
descriptor for each, and none at all when it is done, and other copies on the same file system not their turn."""

import os
import resource
import tarfile
import threading
from pathlib import Path

import pytest

import needs
from copied import member, tar_of
from wardian.storage import Naming, extract

_FEW = 64


def test_a_wide_directory_is_replaced(tmp_path: Path) -> None:
    needs.root()
    for number in range(_FEW * 4):
        (tmp_path / "wide" / str(number)).mkdir(parents=True)
        (tmp_path / "wide" / str(number) / "f").touch()
    (tmp_path / "wide" / "link").symlink_to("/")
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    before, limits = len(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + _FEW, limits[1]))
    try:
        extract([tar_of(member("wide", b"narrow"))], root, b".", naming=Naming())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(root)
    assert (tmp_path / "wide").read_bytes() == b"narrow"
    assert len(os.listdir("/proc/self/fd")) < before  # what others had left for the collector goes meanwhile


class _Looking(Naming):
    """Says at each turn how much is in `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.seen: list[int] = []

    def turn(self, directory: int) -> threading.Lock:
        self.seen.append(len(os.listdir(self._path)) if self._path.is_dir() else 0)
        return super().turn(directory)


@pytest.mark.parametrize(
    ("kind", "left"), [(tarfile.REGTYPE, 0), (tarfile.SYMTYPE, 0), (tarfile.DIRTYPE, _FEW), (tarfile.LNKTYPE, _FEW)]
)
def test_it_is_emptied_before_its_turn(tmp_path: Path, kind: bytes, left: int) -> None:
    """A directory over a directory takes nothing away, and no more does a hard link to itself."""
    needs.root()
    wide = tmp_path / "wide"
    for number in range(_FEW):
        (wide / str(number) / "in").mkdir(parents=True)
    naming, root = _Looking(wide), os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        extract([tar_of(member("wide", kind=kind, link="wide"))], root, b".", naming=naming)
    finally:
        os.close(root)
    assert naming.seen == [left]
    assert wide.is_symlink() == (kind == tarfile.SYMTYPE) and wide.is_file() == (kind == tarfile.REGTYPE)
    assert not left or len(os.listdir(wide)) == left
