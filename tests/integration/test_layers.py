"""Layers and roots on a real file system: metadata as GNU tar writes it, overlays, locks, removal, a full disk."""

import ctypes
import hashlib
import json
import os
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from images_made import Entry, Link, Node, layer_tar
from wardian.errors import CONFLICT, INVALID, SYSTEM, WardianError
from wardian.home import Home, make_home
from wardian.images import ImageStore
from wardian.images.manifests import parse_config, parse_manifest
from wardian.kernel import paths
from wardian.kernel.mounts import Mount
from wardian.storage import LayerStore, Snapshots, Trash, lock_root, open_view, tree_size
from wardian.storage.trash import remove_tree

ID = "c" * 64


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(str(tmp_path / "data"), str(tmp_path / "run"))


@pytest.fixture
def trash(home: Home) -> Iterator[Trash]:
    made = Trash(home.trash)
    yield made
    made.close()


@pytest.fixture
def layers(home: Home, trash: Trash) -> LayerStore:
    return LayerStore(home, trash)


@pytest.fixture
def snapshots(home: Home, layers: LayerStore, trash: Trash) -> Snapshots:
    return Snapshots(home, layers, trash)


def add(layers: LayerStore, data: bytes) -> str:
    staged = layers.stage([data], hashlib.sha256(data).hexdigest())
    layers.commit([staged])
    return staged.diff_id


def tree(root: Path) -> list[tuple[object, ...]]:
    """All that lstat(2), readlink(2) and the attributes say of a tree, inodes by their first name."""
    found: list[tuple[object, ...]] = []
    first: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        name, status = str(path.relative_to(root)), path.lstat()
        first.setdefault(status.st_ino, name)
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
        found.append((name, status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns, content))
        found.append((target, first[status.st_ino], attributes))
    return found


def test_a_layer_is_what_gnu_tar_packed(layers: LayerStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "dir/deeper").mkdir(parents=True)
    (source / "dir").chmod(0o2775)
    (source / "file").write_bytes(os.urandom(100_000))
    (source / "suid").write_bytes(b"x")
    os.chown(source / "suid", 1000, 1001)
    (source / "suid").chmod(0o4755)
    (source / "empty").touch()
    (source / ("long" * 60)).write_text("long name")
    (source / "link").symlink_to("/etc/passwd")
    os.link(source / "file", source / "dir/hard")
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(source / "disk", stat.S_IFBLK | 0o660, os.makedev(8, 0))
    os.mkfifo(source / "fifo")
    os.setxattr(source / "file", "user.note", b"kept \0 whole\n")
    os.setxattr(source / "suid", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    for number, path in enumerate(sorted(source.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000_123_456_000 + number), follow_symlinks=False)
    command = ["tar", "--format=pax", "--xattrs", "--xattrs-include=*", "-C", str(source), "-c", "."]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    layer = add(layers, data)
    assert tree(Path(layers.path(layer))) == tree(source)
    assert layers.facts(layer).size == tree_size(str(source)) - len("/etc/passwd")


def test_parents_that_the_archive_does_not_list_are_made(layers: LayerStore) -> None:
    layer = add(layers, layer_tar({"a/b/c/file": b"1", "a/b/d": b"2"}))
    assert Path(layers.path(layer), "a/b/c/file").read_bytes() == b"1"
    assert stat.S_IMODE(os.stat(os.path.join(layers.path(layer), "a/b")).st_mode) == 0o755


def test_whiteouts_in_every_order(layers: LayerStore, snapshots: Snapshots) -> None:
    base = add(layers, layer_tar({f"{name}/below": b"" for name in "abcd"} | {"file": b"", "e": b"old"}))
    change = add(
        layers,
        layer_tar(
            {
                ".wh.a": b"",  # removed
                ".wh.b": b"", "b/above": b"",  # removed, then made anew without being listed
                "c/": None, "c/above": b"", ".wh.c": b"",  # the whiteout comes last
                "d/.wh.below": b"",
                ".wh.file": b"", "file": b"new",
                "e": b"new", ".wh.e": b"",
            }
        ),
    )  # fmt: skip
    with open_view(snapshots.image_mount([change, base])) as view:
        root = Path(f"/proc/self/fd/{view.fd}")
        assert sorted(os.listdir(root)) == ["b", "c", "d", "e", "file"]
        assert [os.listdir(root / name) for name in "bcd"] == [["above"], ["above"], []]
        assert (root / "file").read_bytes() == (root / "e").read_bytes() == b"new"


def test_an_opaque_root_hides_every_layer_below(layers: LayerStore, snapshots: Snapshots) -> None:
    base = add(layers, layer_tar({"old": b""}))
    top = add(layers, layer_tar({".wh..wh..opq": b"", "new": b""}))
    assert layers.lowers([top, base]) == (layers.path(top),)
    with open_view(snapshots.image_mount([top, base])) as view:
        assert os.listdir(f"/proc/self/fd/{view.fd}") == ["new"]


def test_a_default_acl_or_a_setgid_directory_changes_nothing_in_it(layers: LayerStore) -> None:
    layer = add(layers, layer_tar({"d/": None, "d/file": Entry(b"", 0o640, 5, 6), "d/sub/": None}))
    assert os.stat(os.path.join(layers.path(layer), "d/file")).st_gid == 6
    assert os.stat(os.path.join(layers.path(layer), "d/sub")).st_gid == 0


def test_a_container_writes_into_its_own_directory_only(layers: LayerStore, snapshots: Snapshots, home: Home) -> None:
    layer = add(layers, layer_tar({"etc/": None, "etc/file": b"image"}))
    root = snapshots.prepare(ID, [layer])
    assert snapshots.prepare(ID, [layer]) == root == snapshots.root(ID, [layer])
    with open_view(root.mount, lock_root(home, ID, "cp")) as view:
        fd = view.open("etc/file", os.O_WRONLY | os.O_TRUNC)
        os.write(fd, b"container")
        os.close(fd)
        assert view.read("/etc/file") == b"container"
        with pytest.raises(WardianError, match="in use by: cp") as error:
            lock_root(home, ID, "start")
        assert error.value.kind == CONFLICT
    lock_root(home, ID, "start").release()
    assert Path(layers.path(layer), "etc/file").read_bytes() == b"image"
    assert snapshots.size(ID) == len(b"container")
    snapshots.remove(ID)
    snapshots.remove(ID)
    assert not os.path.exists(home.container(ID))


def test_directories_made_ahead_are_like_those_made_at_once(snapshots: Snapshots, home: Home) -> None:
    found = []
    for number in range(12):  # the first in its own call, later ones from the pool
        root = snapshots.prepare(f"{number:064x}", [])
        found.append(
            [stat.S_IMODE(os.stat(path).st_mode) for path in (os.path.dirname(root.upper), root.upper, root.work)]
        )
        if number == 0:
            until = time.monotonic() + 5
            while not os.listdir(home.staging) and time.monotonic() < until:
                time.sleep(0.01)
    assert found == [[0o710, 0o755, 0o700]] * 12
    assert len(os.listdir(os.path.join(home.data_root, "containers"))) == 12


def test_an_image_without_layers_is_an_empty_root(snapshots: Snapshots, home: Home) -> None:
    with open_view(snapshots.image_mount([])) as view:
        assert os.listdir(f"/proc/self/fd/{view.fd}") == []
    root = snapshots.prepare(ID, [])
    with open_view(root.mount, lock_root(home, ID, "cp")) as view:
        os.close(view.open("x", os.O_CREAT | os.O_WRONLY, 0o600))
    assert os.listdir(root.upper) == ["x"]


def test_the_largest_image_can_be_looked_at_and_started_again(layers: LayerStore, snapshots: Snapshots) -> None:
    """overlayfs has a limit of 500 lowers, and what an image may have leaves room for what is added to them."""
    ids = [add(layers, layer_tar({f"f{number}": b"x"})) for number in range(500)]
    with open_view(snapshots.image_mount(ids)) as view:  # recorded when so many were taken
        assert (view.read("f0"), view.read("f499")) == (b"x", b"x")
    root = snapshots.prepare(ID, ids[:499])
    (Path(root.upper) / "own").write_bytes(b"y")
    with open_view(Mount("overlay", lowers=(root.upper, *root.mount.lowers))) as view:
        assert (view.read("own"), view.read("f498")) == (b"y", b"x")


def test_an_image_of_more_layers_than_can_be_started_again_is_refused() -> None:
    blob = {"digest": f"sha256:{ID}", "size": 1}
    manifests = {n: json.dumps({"config": blob, "layers": [blob] * n}).encode() for n in (499, 500)}
    configs = {n: json.dumps({"rootfs": {"diff_ids": [blob["digest"]] * n}}).encode() for n in (499, 500)}
    assert parse_manifest(manifests[499], "", "it")
    assert parse_config(configs[499], 499, "it")
    with pytest.raises(WardianError, match="at most 499"):
        parse_manifest(manifests[500], "", "it")
    with pytest.raises(WardianError, match="more than 499"):
        parse_config(configs[500], 500, "it")


def test_a_view_ends_at_its_root(layers: LayerStore, snapshots: Snapshots, tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("outside")
    nodes = {
        "fifo": Node(tarfile.FIFOTYPE),
        "abs": Link(f"{tmp_path}/canary"),
        "up": Link("../" * 20 + f"{tmp_path}/canary"),
    }
    layer = add(layers, layer_tar({**nodes, "magic": Link("/proc/self/root"), "big": bytes(5000)}))
    with open_view(snapshots.image_mount([layer])) as view:
        for name in ("abs", "up", "magic", f"{'../' * 20}{tmp_path}/canary"):
            with pytest.raises(OSError):
                view.read(name)
        with pytest.raises(OSError, match="not a regular file"):
            view.read("fifo")
        with pytest.raises(OSError, match="too large"):
            view.read("big", 4999)
        directory = view.open(".", os.O_RDONLY)
        with pytest.raises(OSError):
            paths.open_beneath(directory, "../x", os.O_RDONLY)
        os.close(directory)


def test_what_a_crash_left_in_staging_is_swept(layers: LayerStore, home: Home, trash: Trash) -> None:
    layers.stage([layer_tar({"x": b""})])
    LayerStore(home, trash).sweep()
    assert os.listdir(home.staging) == []


def test_collect_keeps_roots_and_what_is_on_its_way(layers: LayerStore) -> None:
    one, two, three = (add(layers, layer_tar({name: b""})) for name in "123")
    with layers.pin([two]):
        assert layers.collect({one}) == [three]
    assert layers.collect({one}) == [two]
    assert layers.has(one) and not layers.has(two)


def test_the_deepest_tree_can_be_removed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):  # far beyond PATH_MAX, the recursion limit and the descriptor limit
        os.mkdir("d", dir_fd=fd)
        os.close(os.open("d", os.O_RDONLY, dir_fd=fd))
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=below))
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(str(tmp_path), "d")
    assert os.listdir(tmp_path) == []


def test_removal_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/file").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "keep")
    (tmp_path / "tree" / os.fsdecode(b"\xff\xfe")).touch()
    remove_tree(str(tmp_path), "tree")
    assert (tmp_path / "keep/file").exists()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[str]:
    """A file system of 2 MB."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = str(tmp_path / "small")
    os.mkdir(path)
    assert libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, b"size=8m") == 0, os.strerror(ctypes.get_errno())
    yield path
    until = time.monotonic() + 5
    while libc.umount2(path.encode(), 0) != 0 and time.monotonic() < until:
        time.sleep(0.01)


def test_a_full_disk_is_said_and_leaves_nothing(full_disk: str) -> None:
    home = make_home(os.path.join(full_disk, "data"), os.path.join(full_disk, "run"))
    trash = Trash(home.trash)
    images = ImageStore(home, LayerStore(home, trash))
    try:
        with pytest.raises(WardianError, match="no space left on device") as error:
            images.import_image([layer_tar({"small": b"1", "big": bytes(16 << 20)})], "too/big")
        assert error.value.kind == SYSTEM
        assert "big" in error.value.message
        assert images.list_images() == []
        assert os.listdir(home.staging) == []
        until = time.monotonic() + 10
        while os.listdir(home.trash) and time.monotonic() < until:  # its space comes back when the trash is away
            time.sleep(0.01)
        assert images.import_image([layer_tar({"small": b"1"})], "fits").repo_tags == ("fits:latest",)
    finally:
        images.close()
        trash.close()
    assert os.listdir(home.trash) == []


def test_a_layer_of_another_digest_leaves_nothing(layers: LayerStore, home: Home) -> None:
    with pytest.raises(WardianError, match="digest mismatch: layer has diff id") as error:
        layers.stage([layer_tar({"x": b""})], "0" * 64)
    assert error.value.kind == INVALID
    assert os.listdir(home.staging) == []
