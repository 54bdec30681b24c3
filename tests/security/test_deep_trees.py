"""A container makes directories below each other without end: `diff`, `commit` and `export` come through with a bounded
number of descriptors, or say why not."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import needs
from wardian.errors import WardianError
from wardian.storage import descent, differences, pack_directory
from wardian.storage.tar import BLOCK

_DEEP = 1500
_FILES = 5  # so many of the directories have a file before the next one, and one behind it


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[int, int, int]]:
    """An upper and an image that are deep, an image that is empty; and few descriptors."""
    needs.root()
    places = [tmp_path / name for name in ("upper", "image", "empty")]
    for place in places:
        place.mkdir()
    upper, image, empty = fds = [os.open(place, os.O_RDONLY) for place in places]
    _make(upper, _DEEP)
    _make(image, _DEEP)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fds) + 2 * descent._OPEN + 20, hard))
    yield upper, image, empty
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    after = len(os.listdir("/proc/self/fd"))
    for fd in fds:
        os.close(fd)
    subprocess.run(["rm", "-rf", *places], check=True)  # pytest could not
    assert after <= before  # what others had left for the collector goes meanwhile


def _make(top: int, deep: int) -> None:
    at = os.dup(top)
    for level in range(deep):
        os.mkdir("d", dir_fd=at)
        if level % (deep // _FILES) == 0:
            for name in ("a", "z"):
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=at))
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def test_a_tree_deeper_than_python_calls_and_than_descriptors(tree: tuple[int, int, int]) -> None:
    upper, image, empty = tree
    found = [one.path for one in differences(upper, empty)]
    assert len(found) == len(set(found)) == _DEEP + 2 * _FILES
    assert (found[0], found[_DEEP + _FILES - 1], found[-1]) == (b"/a", b"/d" * _DEEP, b"/z")
    os.mkdir("new", dir_fd=upper)
    both = [one.path for one in differences(upper, image) if one.path.rpartition(b"/")[2] not in (b"a", b"z")]
    assert both[-1] == b"/new" and set(both[:-1]) <= set(found)  # files are others by their times, and so their parents
    assert sum(map(len, pack_directory(upper, b""))) > (_DEEP + 2 * _FILES) * BLOCK


def test_a_directory_that_leaves_the_tree_while_it_is_read_leads_nowhere_else(tree: tuple[int, int, int]) -> None:
    """It is renamed to where its `..` is no directory of the tree that is packed."""
    upper, _, empty = tree
    pieces = pack_directory(upper, b"")
    for _ in range(descent._OPEN * 2):
        next(pieces)
    first = os.open("d", os.O_RDONLY, dir_fd=upper)
    os.rename("d", "moved", src_dir_fd=first, dst_dir_fd=empty)
    os.close(first)
    with pytest.raises(OSError) as caught:
        for _ in pieces:
            pass
    assert caught.value.errno == errno.ESTALE


def test_paths_that_are_too_long_together_are_refused(
    tree: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path holds the names of all above it: a hundred thousand levels would have 10 GB."""
    upper, _, empty = tree
    monkeypatch.setattr(import_module("wardian.storage.differences"), "_MOST", 1 << 20)
    with pytest.raises(WardianError, match="too deep"):
        differences(upper, empty)
