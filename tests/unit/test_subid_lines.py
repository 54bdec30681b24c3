"""The lines of dockremap, made where they are missing."""

import fcntl
import os
from pathlib import Path

import pytest

from wardian.engine.userns import subid_lines
from wardian.engine.userns.subid_lines import ensure_default
from wardian.engine.userns.subordinate import remapped
from wardian.errors import SYSTEM, UNAVAILABLE, WardianError


def test_both_are_made(tmp_path: Path) -> None:
    ensure_default(str(tmp_path))
    for name in ("subuid", "subgid"):
        assert (tmp_path / name).read_text() == "dockremap:100000:65536\n"
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644
    assert remapped("default", str(tmp_path)).uids == ((0, 100000, 65536),)
    before = (tmp_path / "subuid").stat().st_ino
    ensure_default(str(tmp_path))
    assert (tmp_path / "subuid").stat().st_ino == before
    assert sorted(os.listdir(tmp_path)) == [".pwd.lock", "subgid", "subuid"]


def test_nobody_s_ids_are_given_again(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("you:100000:65536\nme:165536:65536")  # no newline at the end
    (tmp_path / "subgid").write_text("you:231072:10\n")
    (tmp_path / "subgid").chmod(0o640)
    ensure_default(str(tmp_path))
    assert (tmp_path / "subuid").read_text() == "you:100000:65536\nme:165536:65536\ndockremap:231082:65536\n"
    assert (tmp_path / "subgid").read_text() == "you:231072:10\ndockremap:231082:65536\n"
    assert (tmp_path / "subgid").stat().st_mode & 0o777 == 0o640


def test_only_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("dockremap:5:6\n")
    ensure_default(str(tmp_path))
    assert (tmp_path / "subuid").read_text() == "dockremap:5:6\n"
    assert (tmp_path / "subgid").read_text() == "dockremap:100000:65536\n"


def test_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(WardianError) as caught:
        ensure_default(str(tmp_path / "none"))
    assert caught.value.kind == SYSTEM
    assert f"a line dockremap:100000:65536 in {tmp_path}/none/subuid and in" in caught.value.hint


def test_who_changes_the_files_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subid_lines, "_SECONDS", 0.1)
    with open(tmp_path / ".pwd.lock", "w") as lock:
        ready, go = os.pipe()
        pid = os.fork()  # a record lock excludes other processes
        if pid == 0:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            os.write(go, b"x")
            os.read(os.pipe()[0], 1)
        try:
            os.read(ready, 1)
            with pytest.raises(WardianError) as caught:
                ensure_default(str(tmp_path))
            assert caught.value.kind == UNAVAILABLE
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(ready)
            os.close(go)
    assert not (tmp_path / "subuid").exists()
