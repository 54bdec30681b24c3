"""CVE-2018-15664: a container swaps a directory with a link while `cp` resolves the path; the host is not reached."""

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from copied import Copied, member, tar_of
from engines import TestEngine

_RENAME_EXCHANGE = 2  # renameat2(2)
_TIMES = 300


@pytest.fixture
def racing(engine: TestEngine, tmp_path: Path) -> Iterator[tuple[Copied, Path]]:
    """/w/d, a directory, is for ever swapped with /w/l, a link to a directory of the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("host\n")
    container = Copied(engine, ["sleep", "1000"])
    assert container.upload("/", tar_of(member("w/d/f", b"container\n"))) == 200
    container.start()
    place = container.root + "/w"
    os.symlink(outside, f"{place}/l")
    child = os.fork()
    if not child:
        exchange = ctypes.CDLL(None).renameat2
        fd = os.open(place, os.O_PATH)
        while True:
            exchange(fd, b"d", fd, b"l", _RENAME_EXCHANGE)
    yield container, outside
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    container.remove()


def test_out_of_a_container_comes_nothing_of_the_host(racing: tuple[Copied, Path]) -> None:
    container, _ = racing
    seen = set()
    for _ in range(_TIMES):
        seen |= set(container.download("/w/d/f").values()) | set(container.download("/w").values())
    assert seen == {b"container\n"}


def test_into_a_container_goes_nothing_to_the_host(racing: tuple[Copied, Path]) -> None:
    container, outside = racing
    archive = tar_of(member("f", b"overwritten\n"), member("more/g", b"made\n"))
    nested = tar_of(member("d/f", b"overwritten\n"), member("d/more/g", b"made\n"))
    assert 200 in {container.upload("/w/d", archive) for _ in range(_TIMES)}
    assert {container.upload("/w", nested, noOverwriteDirNonDir=True) for _ in range(_TIMES)}
    assert os.listdir(outside) == ["f"]
    assert (outside / "f").read_text() == "host\n"
