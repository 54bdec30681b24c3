"""A container makes directories below each other without end: `diff`, `commit` and `export` come through."""

import os
import subprocess
from pathlib import Path

import needs
from wardian.storage import differences, pack_directory

_DEEP = 1500


def test_a_tree_deeper_than_python_calls(tmp_path: Path) -> None:
    needs.root()
    image, upper = tmp_path / "image", tmp_path / "upper"
    image.mkdir()
    upper.mkdir()
    at = top = os.open(upper, os.O_RDONLY)
    for _ in range(_DEEP):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        if at != top:
            os.close(at)
        at = below
    os.close(at)
    below = os.open(image, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    try:
        found = differences(top, below)
        assert len(found) == _DEEP and found[-1].path == b"/d" * _DEEP
        assert sum(map(len, pack_directory(top, b""))) > _DEEP * 512
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        os.close(top)
        os.close(below)
        subprocess.run(["rm", "-rf", upper], check=True)
