"""Load, import and hello: images that come from no registry."""

import concurrent.futures
import errno
import gzip
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from images_made import (
    ARCHITECTURE,
    Link,
    MadeImage,
    busybox_image,
    busybox_layer,
    digest,
    docker_archive,
    layer_tar,
    oci_layout,
)
from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.home import Home, make_home
from wardian.images import ImageStore, summary
from wardian.images.progress import silent
from wardian.storage import LayerStore, Snapshots, Trash, open_view


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(str(tmp_path / "data"), str(tmp_path / "run"))


@pytest.fixture
def store(home: Home) -> Iterator[tuple[ImageStore, Snapshots]]:
    trash = Trash(home.trash)
    layers = LayerStore(home, trash)
    images = ImageStore(home, layers)
    yield images, Snapshots(home, layers, trash)
    assert os.listdir(home.staging) == []
    images.close()
    trash.close()


Both = tuple[ImageStore, Snapshots]


@pytest.mark.parametrize("make", [docker_archive, oci_layout, lambda images: gzip.compress(oci_layout(images), 1)])
def test_load(store: Both, make: Any) -> None:
    images, snapshots = store
    one = busybox_image(Cmd=["true"])
    two = MadeImage([busybox_layer(), layer_tar({"extra": b"2"})], {"Cmd": ["sh"]})
    messages: list[dict[str, Any]] = []
    loaded = images.load([make({"one:1": one, "r.example/two:x": two})], messages.append)
    assert [image.id for image in loaded] == [one.id, two.id]
    said = [message["stream"] for message in messages if "stream" in message]
    assert said == ["Loaded image: one:1\n", "Loaded image: r.example/two:x\n"]
    assert images.resolve("r.example/two:x").layers[1] == images.resolve("one:1").layers[0]
    with open_view(snapshots.image_mount(loaded[1].layers)) as view:
        assert view.read("extra") == b"2"


def test_a_blob_that_is_slow_to_store_keeps_nobody_from_the_state(store: Both, home: Home) -> None:
    """The disk is slow where a fifo stands: storing a blob reads first what is at its place."""
    old = store[0].load([oci_layout({"one:1": busybox_image()})], silent)[0]
    slow = busybox_image(Cmd=["slow"])
    fifo = Path(home.content, "blobs", digest(slow.config()).replace(":", "/"))
    os.mkfifo(fifo)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(store[0].load, [docker_archive({"slow:1": slow})], silent)
        writer = opened_once_read(fifo)
        try:
            other = sqlite3.connect(home.database, isolation_level=None, timeout=0)
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            other.close()
            store[0].tag("one:1", "two:1")  # as the event loop does
            assert not loaded.done()
        finally:
            os.close(writer)
        assert loaded.result(20)[0].id == slow.id
    assert store[0].resolve("two:1").id == old.id
    assert fifo.is_file()


def opened_once_read(fifo: Path) -> int:
    """A descriptor for writing, once somebody waits at the other end (fifo(7): ENXIO before)."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO
            assert time.monotonic() < deadline, "nobody reads the blob"
            time.sleep(0.01)


def test_load_without_a_name_and_with_a_layer_that_is_a_link(store: Both) -> None:
    layer = layer_tar({"x": b"1"})
    made = MadeImage([layer, layer], {})
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar"]}]
    archive = layer_tar(
        {
            "a/layer.tar": layer,
            "b/layer.tar": Link("../a/layer.tar"),
            "config.json": made.config(),
            "manifest.json": json.dumps(manifest).encode(),
        }
    )
    messages: list[dict[str, Any]] = []
    assert store[0].load([archive], messages.append)[0].id == made.id
    assert messages[-1] == {"stream": f"Loaded image ID: {made.id}\n"}
    assert [image.repo_tags for image in store[0].list_images({"dangling": ["true"]})] == [()]


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"no tar at all" * 100, "not a valid tar archive"),
        (layer_tar({"etc/": None}), "neither manifest.json"),
        (layer_tar({"manifest.json": b"{"}), "manifest.json is not JSON"),
        (layer_tar({"manifest.json": b"[]"}), "no image in it"),
        (layer_tar({"manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'}), "which it does not hold"),
        (layer_tar({"index.json": b'{"manifests": [{"digest": "sha256:../../etc", "size": 1}]}'}), "invalid digest"),
        (docker_archive({"a:1": busybox_image()})[:-800000], "it ends in the middle"),
        (layer_tar({"manifest.json": b'[{"Config": "c", "Layers": 5}]'}), "are not strings"),
        (layer_tar({"manifest.json": b'[{"Config": "c", "RepoTags": "abc"}]'}), "are not strings"),
        (layer_tar({"manifest.json": Link("other"), "other": Link("manifest.json")}), "neither manifest.json"),
        (layer_tar({"manifest.json": b"[" * 100_000}), "manifest.json is not JSON"),
        (docker_archive({"a:1": MadeImage([], {"Labels": ["a"]})}), "Labels of its run configuration is not"),
    ],
)
def test_what_cannot_be_loaded(store: Both, archive: bytes, words: str) -> None:
    with pytest.raises(WardianError, match=words) as error:
        store[0].load([archive])
    assert error.value.kind == INVALID
    assert store[0].list_images() == []


def test_a_layout_whose_blob_is_another_is_a_digest_mismatch(store: Both, home: Home) -> None:
    archive = oci_layout({"a:1": MadeImage([layer_tar({"x": b"right"})], {})}, compress=False)
    with pytest.raises(WardianError, match="digest mismatch: blob sha256:"):
        store[0].load([archive.replace(b"right", b"wrong")])
    assert os.listdir(home.layers) == ["empty"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_import(store: Both, pack: Any) -> None:
    images, _ = store
    image = images.import_image([pack(busybox_layer())], "imp:1", changes=['CMD ["sh"]', "ENV A=b"], message="why")
    assert image.repo_tags == ("imp:1",)
    assert image.run_config == {"Cmd": ["sh"], "Env": ["A=b"]}
    assert image.architecture == ARCHITECTURE
    assert images.inspect("imp:1")["Comment"] == "why"
    assert image.diff_ids == (digest(busybox_layer()),)
    shown = summary(image)
    assert shown["RepoTags"] == ["imp:1"]
    assert abs(shown["Created"] - time.time()) < 60
    assert images.import_image([busybox_layer()]).repo_tags == ()
    with pytest.raises(WardianError, match="is not a valid change command"):
        images.import_image([busybox_layer()], changes=["FROM x"])


def test_hello_is_the_launcher_and_the_same_every_time(store: Both) -> None:
    images, snapshots = store
    image = images.make_hello("/bin/busybox")
    assert images.make_hello("/bin/busybox") == image._replace(tagged_at=images.resolve(image.id).tagged_at)
    assert image.repo_tags == ("wardian/hello:latest",)
    assert image.run_config["Cmd"] == ["/hello"]
    with open_view(snapshots.image_mount(image.layers)) as view:
        assert view.read("hello", 1 << 24) == Path("/bin/busybox").read_bytes()
        assert os.listdir(f"/proc/self/fd/{view.fd}") == ["hello"]
    with pytest.raises(WardianError, match="cannot make wardian/hello:latest"):
        images.make_hello("/nowhere")


def test_listing(store: Both) -> None:
    images, _ = store
    old = MadeImage([layer_tar({"o": b""})], {"Labels": {"tier": "base"}}, created="2020-01-01T00:00:00Z")
    new = MadeImage([layer_tar({"n": b""})], {}, created="2021-01-01T00:00:00Z")
    images.load([docker_archive({"base/old:1": old, "new:2": new})])
    images.tag("new:2", "team/new:3")

    def names(**filters: list[str]) -> list[str]:
        return [name for image in images.list_images(filters) for name in image.repo_tags]

    assert names() == ["new:2", "team/new:3", "base/old:1"]
    assert names(reference=["new"]) == ["new:2"]
    assert names(reference=["*/*"]) == ["team/new:3", "base/old:1"]
    assert names(reference=["base/old:1", "n*"]) == ["new:2", "base/old:1"]
    assert names(label=["tier=base"]) == ["base/old:1"]
    assert names(before=["new:2"]) == ["base/old:1"]
    assert names(since=["base/old:1"]) == ["new:2", "team/new:3"]
    assert names(dangling=["true"]) == []
    assert names(until=["2020-06-01T00:00:00Z"]) == ["base/old:1"]
    with pytest.raises(WardianError, match="invalid filter 'nonsense'"):
        names(nonsense=["1"])
    with pytest.raises(WardianError, match="No such image: gone:latest") as error:
        names(before=["gone"])
    assert error.value.kind == NOT_FOUND
