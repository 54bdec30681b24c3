"""The files of a log, while a supervisor rotates them."""

import os
from pathlib import Path

import pytest

from wardian.engine.logging.chain import Chain, Place


class _Rotated(Chain):
    """Of which the oldest file goes just when its name is known."""

    def _files(self) -> list[str]:
        found = super()._files()
        if len(found) > 2:
            os.unlink(found[-1])
        return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for name in ("log", "log.1", "log.2"):
        (tmp_path / name).write_text(f"of {name}\n")
    return tmp_path / "log"


def _read(chain: Chain) -> bytes:
    lines = b"".join(chain.read())
    chain.close()
    return lines


def test_from_the_first_line_that_is_left(log: Path) -> None:
    chain = _Rotated(str(log))
    chain.seek_first()
    assert _read(chain) == b"of log.1\nof log\n"


@pytest.mark.parametrize(("name", "sent"), [("log.1", b"of log.1\n"), ("log.2", b"of log.2\n")])
def test_from_a_place(log: Path, name: str, sent: bytes) -> None:
    """What was rotated away has its place in nothing that is left."""
    place = Place(os.stat(f"{log.parent}/{name}").st_ino, sent.rstrip(b"\n").hex(), len(sent))
    chain = _Rotated(str(log))
    found = chain.seek(place)
    assert found == (name == "log.1")
    assert _read(chain) == (b"of log\n" if found else b"of log.1\nof log\n")
