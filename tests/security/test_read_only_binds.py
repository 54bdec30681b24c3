"""A host directory given read-only is read-only with all that is mounted below it: else a container writes to a disk of
the host that was never meant to be writable (moby issue 37838; recursive since Docker 25)."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benches import Bench


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    below = tmp_path / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True)
    yield tmp_path
    subprocess.run(["umount", below], check=True)


def written(bench: Bench, **host: Any) -> str:
    return bench.said("sh", "-c", "touch /b/x || touch /b/below/x && echo written; true", **host)


def test_what_is_mounted_below_is_read_only_too(bench: Bench, tree: Path) -> None:
    mount = {"Type": "bind", "Source": str(tree), "Target": "/b", "ReadOnly": True}
    assert "written" not in written(bench, Binds=[f"{tree}:/b:ro"])
    assert "written" not in written(bench, Mounts=[mount])
    assert "written" not in written(bench, Mounts=[mount | {"BindOptions": {"ReadOnlyForceRecursive": True}}])


def test_it_is_not_where_the_user_says_so(bench: Bench, tree: Path) -> None:
    mount = {"Type": "bind", "Source": str(tree), "Target": "/b", "ReadOnly": True}
    assert "written" in written(bench, Mounts=[mount | {"BindOptions": {"ReadOnlyNonRecursive": True}}])
