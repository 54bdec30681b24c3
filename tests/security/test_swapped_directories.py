"""A container that swaps a directory with a link while its writable layer is measured: the walk stays in the layer."""

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.storage import tree_size

_RENAME_EXCHANGE = 2  # renameat2(2)
_AT_FDCWD = -100


@pytest.fixture
def upper(tmp_path: Path) -> Iterator[Path]:
    """upper/ with many directories, one of which is for ever swapped with a link to outside/, which holds much."""
    outside, upper = tmp_path / "outside", tmp_path / "upper"
    (outside / "deeper").mkdir(parents=True)
    (outside / "deeper/secret").write_bytes(b"x" * 1_000_000)
    for number in range(20):
        (upper / f"d{number}/deeper").mkdir(parents=True)
    (upper / "d0/deeper/own").write_bytes(b"x" * 100)
    (upper / "link").symlink_to(outside)
    child = os.fork()
    if not child:
        exchange = ctypes.CDLL(None).renameat2
        one, other = bytes(upper / "d0"), bytes(upper / "link")
        while True:
            exchange(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
    yield upper
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_size_of_a_layer_is_never_that_of_the_host(upper: Path) -> None:
    assert max(tree_size(str(upper)) for _ in range(1000)) < 1_000_000
