"""Views: a root with the host's paths in it, used by descriptor, that nobody else sees and that leaves nothing."""

import os
import subprocess
from pathlib import Path

import pytest

import needs
from wardian.kernel.mounts import Mount
from wardian.storage import views
from wardian.storage.locks import RootLock
from wardian.storage.views import Bind, View, close_trees, open_process_root, open_trees


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    needs.root()
    for name in ("lower", "upper", "work", "volume", "fixed"):
        (tmp_path / name).mkdir()
    (tmp_path / "volume/f").write_text("volume\n")
    (tmp_path / "volume/deep/er").mkdir(parents=True)
    (tmp_path / "volume/deep/er/g").write_text("deeper\n")
    (tmp_path / "volume/deep/link").symlink_to("/f")
    (tmp_path / "fixed/f").write_text("fixed\n")
    (tmp_path / "file").write_text("file\n")
    directory = str(tmp_path)
    return Mount("overlay", lowers=(f"{directory}/lower",), upper=f"{directory}/upper", work=f"{directory}/work")


@pytest.mark.parametrize("own_namespace", [False, True])
def test_paths_of_the_host_are_attached(
    tmp_path: Path, mount: Mount, own_namespace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways: on the detached mount itself (Linux 6.15), and in a namespace of the view's own."""
    binds = [
        Bind(f"{tmp_path}/volume", "/v/data"),
        Bind(f"{tmp_path}/fixed", "/fixed", read_only=True),
        Bind(f"{tmp_path}/file", "/etc/file"),
        Bind(f"{tmp_path}/missing", "/missing"),
        Bind(f"{tmp_path}/volume", "/part", part="deep/er"),
        Bind(f"{tmp_path}/volume", "/part-file", part="deep/link"),  # within the volume it leads to its own f
        Bind(f"{tmp_path}/volume", "/none", part="deep/none"),
    ]
    with open("/proc/self/mountinfo") as file:
        before = file.read()
    with View(mount, RootLock(os.open(tmp_path, os.O_PATH), str(tmp_path), "test")) as view:
        trees = open_trees(binds)
        if own_namespace:
            view._namespace = views.in_own_namespace(view.fd, trees)
        else:
            view.attach(trees)
        close_trees(trees)
        assert view.read("/v/data/f") == b"volume\n"
        assert view.read("/etc/file") == b"file\n"
        assert view.read("/part/g") == b"deeper\n"
        assert view.read("/part-file") == b"volume\n"
        os.close(view.open("/v/data/new", os.O_CREAT | os.O_WRONLY, 0o600))
        with pytest.raises(OSError, match="Read-only"):
            view.open("/fixed/new", os.O_CREAT | os.O_WRONLY, 0o600)
        os.close(view.open("/own", os.O_CREAT | os.O_WRONLY, 0o600))
        with open("/proc/self/mountinfo") as file:
            assert file.read() == before
    assert sorted(os.listdir(tmp_path / "volume")) == ["deep", "f", "new"]
    assert sorted(os.listdir(tmp_path / "upper")) == ["etc", "fixed", "own", "part", "part-file", "v"]
    assert os.listdir(tmp_path / "upper/v/data") == []


@pytest.mark.parametrize("own_namespace", [False, True])
def test_a_bind_in_a_bind_is_seen_by_nobody_else(tmp_path: Path, mount: Mount, own_namespace: bool) -> None:
    """What is mounted in a shared mount (mount_namespaces(7)) is mounted in all of its peers, the host's own too."""
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "view-test", shared], check=True)
    try:
        subprocess.run(["mount", "--make-shared", shared], check=True)
        (shared / "in").mkdir()
        with open("/proc/self/mountinfo") as file:
            before = file.read()
        trees = open_trees([Bind(str(shared), "/v"), Bind(f"{tmp_path}/volume", "/v/in")])
        with View(mount, RootLock(os.open(tmp_path, os.O_PATH), str(tmp_path), "test")) as view:
            if own_namespace:
                view._namespace = views.in_own_namespace(view.fd, trees)
            else:
                view.attach(trees)
            close_trees(trees)
            assert view.read("/v/in/f") == b"volume\n"
            with open("/proc/self/mountinfo") as file:
                assert file.read() == before
            assert os.listdir(shared / "in") == []
    finally:
        subprocess.run(["umount", "-R", shared], check=True)


def test_the_root_of_another_process_is_not_opened() -> None:
    with pytest.raises(Exception, match="has ended"):
        open_process_root(os.getpid(), 1)
