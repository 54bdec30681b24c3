"""To open a device is to use it: a watchdog begins to count and resets the machine. An image brings such nodes, and a
container swaps one in where the engine has just seen a file. They are looked at by O_PATH, which opens nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import needs
from wardian.kernel import inotify
from wardian.kernel.paths import open_file, read_in_root
from wardian.storage import IdMap, differences, pack_entry
from wardian.storage.copying import _copy_file

_IN_OPEN = 0x20


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    """A directory with a device, a fifo, and links to both."""
    needs.root()
    os.mknod(tmp_path / "device", 0o020666, os.makedev(1, 3))
    os.mkfifo(tmp_path / "fifo")
    for name in ("device", "fifo"):
        (tmp_path / f"to-{name}").symlink_to(name)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def _opened(path: Path, act: Callable[[], object]) -> bool:
    heard = inotify.watch(str(path), _IN_OPEN)
    try:
        with suppress(OSError):
            act()
        try:
            return bool(os.read(heard, 4096))
        except BlockingIOError:
            return False
    finally:
        os.close(heard)


@pytest.mark.parametrize("kind", ["device", "fifo"])
@pytest.mark.parametrize("prefix", ["", "to-"])
def test_a_node_is_not_opened(tree: int, tmp_path: Path, kind: str, prefix: str) -> None:
    name = (prefix + kind).encode()
    for read in (open_file, lambda root, path: read_in_root(root, path, 100)):
        with pytest.raises(OSError, match="not a regular file"):
            read(tree, name)
        assert not _opened(tmp_path / kind, lambda read=read: read(tree, name))  # type: ignore[misc]
    assert not _opened(tmp_path / kind, lambda: _copy_file(tree, tree, name, IdMap(), lambda: None))
    assert not _opened(tmp_path / kind, lambda: list(pack_entry(tree, name, name, IdMap())))
    assert not _opened(tmp_path / kind, lambda: differences(tree, tree))


def test_the_test_hears_an_open(tree: int, tmp_path: Path) -> None:
    assert _opened(tmp_path / "device", lambda: os.close(os.open("device", os.O_RDONLY, dir_fd=tree)))
