"""subuid(5) and subgid(5): whose ids are given away, and what `--userns-remap` makes of them."""

from pathlib import Path

import pytest

from wardian.engine.userns.subordinate import free_span, mapped_from_zero, remapped, spans
from wardian.errors import INVALID, WardianError


def files(tmp_path: Path, uids: str, gids: str) -> str:
    (tmp_path / "subuid").write_text(uids)
    (tmp_path / "subgid").write_text(gids)
    return str(tmp_path)


def test_lines(tmp_path: Path) -> None:
    text = "a:100:10\nb:200:20\n# c:1:1\nbroken\na:x:5\na:1:0\n7:300:30\na:400:40"
    where = files(tmp_path, text, "")
    assert spans(where, "subuid", "a") == [(100, 10), (400, 40)]
    assert spans(where, "subuid", "b", "7") == [(200, 20), (300, 30)]
    assert spans(where, "subgid", "a") == [] == spans(str(tmp_path / "none"), "subuid", "a")


def test_ranges_follow_each_other_inside() -> None:
    ids = mapped_from_zero([(1000, 10), (5000, 5)], [(2000, 100)])
    assert ids.uids == ((0, 1000, 10), (10, 5000, 5))
    assert ids.outside(12, 99) == (5002, 2099)


def test_remap(tmp_path: Path) -> None:
    lines = "dockremap:100000:65536\nroot:5:6\n0:50:60\n"
    where = files(tmp_path, lines, lines)
    assert remapped("default", where).uids == ((0, 100000, 65536),)
    assert remapped("root", where).uids == remapped("0", where).uids == ((0, 5, 6), (6, 50, 60))
    assert remapped("root:root", where).gids == ((0, 5, 6), (6, 50, 60))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("default", "no subuid ranges found"),
        ("a:b:c", "invalid user/group specification"),
        ("root:", "invalid user/group specification"),
        ("no-such-user-here", "Error during uid lookup"),
        ("root:no-such-group-here", "Error during gid lookup"),
        ("4294967000", "has no entry in /etc/passwd"),
        ("root", "no subgid ranges found"),
    ],
)
def test_what_cannot_be(tmp_path: Path, asked: str, words: str) -> None:
    with pytest.raises(WardianError, match=words) as caught:
        remapped(asked, files(tmp_path, "root:100000:65536\n", ""))
    assert caught.value.kind == INVALID


@pytest.mark.parametrize(
    ("taken", "size", "first"),
    [
        ([], 10, 100),
        ([(100, 10)], 10, 110),
        ([(105, 10), (100, 3)], 2, 103),
        ([(100, 95)], 10, 500),
        ([(100, 100), (500, 45)], 10, -1),
        ([(90, 15)], 10, 105),
        ([], 101, -1),
    ],
)
def test_free_span(taken: list[tuple[int, int]], size: int, first: int) -> None:
    assert free_span([(100, 100), (500, 50)], taken, size) == first


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """And is not taken for one that gives nobody anything."""
    (tmp_path / "subuid").mkdir()
    with pytest.raises(WardianError, match=f"cannot read {tmp_path}/subuid: Is a directory"):
        spans(str(tmp_path), "subuid", "nobody")
    assert spans(str(tmp_path), "subgid", "nobody") == []
