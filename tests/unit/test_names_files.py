"""The files of a container's names, and the record beside them of what the engine wrote last."""

import json
from pathlib import Path

import pytest

from wardian.engine.files.names import _mend


def _written(directory: Path, text: str) -> str:
    _mend(str(directory), {"resolv.conf": text})
    return (directory / "resolv.conf").read_text()


def test_what_the_container_wrote_stays(tmp_path: Path) -> None:
    assert _written(tmp_path, "first\n") == "first\n"
    assert _written(tmp_path, "second\n") == "second\n"
    (tmp_path / "resolv.conf").write_text("the container's\n")
    assert _written(tmp_path, "third\n") == "the container's\n"


@pytest.mark.parametrize("left", ["", 'nd longer"}', "\0\0"])
def test_a_record_that_was_not_cut_off_is_one(tmp_path: Path, left: str) -> None:
    """The engine was killed after it had written a shorter one over it."""
    _written(tmp_path, "a first and longer")
    (tmp_path / "resolv.conf").write_text("second")
    (tmp_path / "names.ours").write_text(json.dumps({"resolv.conf": "second"}) + left)
    assert _written(tmp_path, "third") == "third"


def test_those_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("first")
    (tmp_path / "resolv.conf.ours").write_text("first")
    assert _written(tmp_path, "second") == "second"
