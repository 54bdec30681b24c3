"""A container makes a directory of as many files as it likes; `docker cp` of something over it costs the engine no
descriptor for each, and none at all when it is done."""

import os
import resource
from pathlib import Path

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
