"""Directories made ahead: the store is full again after whatever kept it from being filled."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wardian.storage import Places, Spares
from wardian.storage.spares import _READY


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def waiting(directory: Path) -> int:
    return sum(name.startswith("spare.") for _, names, _ in os.walk(directory) for name in names)


def test_what_could_not_be_made_on_a_full_disk_is_made_once_there_is_space(tmp_path: Path) -> None:
    is_full = True

    def make(path: str) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.mkdir(path)

    spares = Spares(Places(str(tmp_path)), make)
    for _ in range(2 * _READY):
        with pytest.raises(OSError, match="No space left"):
            spares.take(str(tmp_path / "refused"))
    until(spares._orders.empty)
    is_full = False
    spares.take(str(tmp_path / "made"))
    until(lambda: waiting(tmp_path) == _READY)
    spares.close()


def test_there_are_never_more_than_the_store_holds(tmp_path: Path) -> None:
    spares = Spares(Places(str(tmp_path)), os.mkdir)
    for number in range(5 * _READY):
        spares.take(str(tmp_path / str(number)))
    until(lambda: spares._orders.empty() and waiting(tmp_path) >= _READY)
    spares.close()
    assert waiting(tmp_path) == _READY


def test_what_nobody_gets_is_closed(tmp_path: Path) -> None:
    closed: list[str] = []

    def make(path: str) -> str:
        os.makedirs(path, exist_ok=True)
        return path

    spares = Spares(Places(str(tmp_path)), make, closed.append)
    target = tmp_path / "target"
    (target / "kept").mkdir(parents=True)
    assert spares.take(str(target)) == str(target)
    assert len(closed) == 1 and "spare." in closed[0]
    until(lambda: waiting(tmp_path) == 1 + _READY)
    spares.close()
    assert len(set(closed)) == 1 + _READY
