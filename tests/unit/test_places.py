"""Places for new directories: what is made has its name at once, whatever file system it is on, spread or not."""

import os
import tempfile
from collections.abc import Iterator

import pytest

from wardian.storage import Places, places


@pytest.fixture(params=["/tmp", "/dev/shm"], ids=["disk", "tmpfs"])
def directory(request: pytest.FixtureRequest) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=request.param, prefix="wardian-places-") as path:
        yield path


@pytest.fixture(autouse=True, params=[False, True], ids=["together", "spread"])
def spread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Also where the file system has a journal."""

    def answer(directory: str) -> bool:
        os.stat(directory)  # one that is not there is told of
        return bool(request.param)

    monkeypatch.setattr(places, "_passes_over_deleted", answer)
    return bool(request.param)


def test_they_are_apart_where_that_helps(directory: str, spread: bool) -> None:
    made = Places(directory)
    assert len({os.path.dirname(made.fresh()) for _ in range(4)}) == (4 if spread else 1)


def test_a_directory_is_made_with_its_name_and_mode(directory: str) -> None:
    made, target = Places(directory), os.path.join(directory, "one")
    made.make(target, 0o700)
    assert os.stat(target).st_mode & 0o7777 == 0o700
    assert os.listdir(target) == []
    assert not [name for _, names, _ in os.walk(directory) for name in names if name.startswith("spare.")]


def test_nothing_that_is_there_is_covered(directory: str) -> None:
    made, target = Places(directory), os.path.join(directory, "one")
    made.make(target, 0o700)
    with open(os.path.join(target, "kept"), "w"):
        pass
    with pytest.raises(FileExistsError):
        made.make(target, 0o700)
    assert os.listdir(target) == ["kept"]
    assert not [name for _, names, _ in os.walk(directory) for name in names if name.startswith("spare.")]


def test_places_that_were_swept_away_are_made_again(directory: str) -> None:
    made = Places(directory)
    for _ in range(2):
        path = made.fresh()
        assert not os.path.exists(path)
        os.mkdir(path)
        os.rmdir(path)
        while (path := os.path.dirname(path)) != directory:
            for name in os.listdir(path):
                os.rmdir(os.path.join(path, name))
            os.rmdir(path)


def test_a_directory_that_is_not_there_is_told(directory: str) -> None:
    with pytest.raises(FileNotFoundError):
        Places(os.path.join(directory, "gone")).make(os.path.join(directory, "gone", "one"), 0o700)
