"""Pull from a real registry: by tag and digest, every kind of manifest; verified, shared, nothing left of a failure."""

import ctypes
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from images_made import (
    ARCHITECTURE,
    INDEX_DOCKER,
    INDEX_OCI,
    MadeImage,
    busybox_image,
    busybox_layer,
    layer_tar,
    made_manifest,
)
from registry import Registry, start_registry
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, UNAVAILABLE, WardianError
from wardian.home import Home, make_home
from wardian.images import ImageStore, ImageUse, RegistryAuth
from wardian.storage import LayerStore, Snapshots, Trash, open_view

OTHER = "arm64" if ARCHITECTURE == "amd64" else "amd64"


class Store(NamedTuple):
    home: Home
    layers: LayerStore
    images: ImageStore
    snapshots: Snapshots

    def left_over(self) -> list[str]:
        """What failed operations left in staging."""
        return os.listdir(self.home.staging)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"))
    trash = Trash(home.trash)
    layers = LayerStore(home, trash)
    images = ImageStore(home, layers)
    yield Store(home, layers, images, Snapshots(home, layers, trash))
    images.close()
    trash.close()


def small(text: str, **config: Any) -> MadeImage:
    """An image of one small file that says `text`."""
    return MadeImage([layer_tar({"etc/": None, "etc/text": text.encode()})], config)


@pytest.mark.parametrize("compress", ["gzip", "zstd", False])
@pytest.mark.parametrize("docker", [False, True])
def test_a_pulled_image_is_on_disk_and_described(
    store: Store, registry: Registry, compress: str | bool, docker: bool
) -> None:
    made = busybox_image(Cmd=["true"], Labels={"a": "b"})
    reference = registry.push_image(f"kinds/{compress}-{docker}:1".lower(), made, compress=compress, docker=docker)
    image = store.images.pull(reference)
    assert image.id == made.id
    assert image.repo_tags == (reference,)
    assert image.layers == (hashlib.sha256(busybox_layer()).hexdigest(),)
    assert image.run_config["Cmd"] == ["true"]
    assert store.images.resolve(reference) == store.images.resolve(image.id) == store.images.resolve(image.id[7:19])
    inspected = store.images.inspect(reference)
    assert inspected["RootFS"]["Layers"] == list(image.diff_ids)
    assert inspected["Size"] == image.size == os.path.getsize("/bin/busybox") + 149
    assert [step["CreatedBy"] for step in store.images.history(reference)] == ["layer 0"]
    with open_view(store.snapshots.image_mount(image.layers)) as view:
        assert view.read("bin/sh", 1 << 24) == Path("/bin/busybox").read_bytes()
    assert store.left_over() == []


def test_progress_is_told_in_dockers_words(store: Store, registry: Registry) -> None:
    reference = registry.push_image("team/app:7", busybox_image())
    messages: list[dict[str, Any]] = []
    store.images.pull(reference, progress=messages.append)
    assert messages[0] == {"status": "Pulling from team/app", "id": "7"}
    statuses = [message["status"] for message in messages]
    for one in ("Pulling fs layer", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"):
        assert one in statuses
    assert statuses[-2].startswith("Digest: sha256:")
    assert statuses[-1] == f"Status: Downloaded newer image for {reference}"
    messages.clear()
    store.images.pull(reference, progress=messages.append)
    assert messages[-1]["status"] == f"Status: Image is up to date for {reference}"
    assert len(messages) == 3


def test_by_digest(store: Store, registry: Registry) -> None:
    made = small("by digest")
    reference = registry.push_image("digests/app", made, tagged=False)
    image = store.images.pull(reference)
    assert image.repo_tags == ()
    assert image.repo_digests == (reference,)
    assert store.images.resolve(reference).id == made.id


@pytest.mark.parametrize("media_type", [INDEX_OCI, INDEX_DOCKER])
def test_an_index_gives_this_platform_or_the_one_asked_for(store: Store, registry: Registry, media_type: str) -> None:
    here, there = small("here"), small("there")._replace(architecture=OTHER)
    name = "multi/oci" if media_type == INDEX_OCI else "multi/docker"
    reference = registry.push_index(name, [there, here], media_type)
    assert store.images.pull(reference).id == here.id
    assert store.images.pull(reference, platform=f"linux/{OTHER}").id == there.id
    assert store.images.resolve(reference).architecture == OTHER
    with pytest.raises(WardianError, match="does not match the specified platform") as mismatch:
        store.images.resolve(reference, platform=f"linux/{ARCHITECTURE}")
    assert mismatch.value.kind == NOT_FOUND
    with pytest.raises(WardianError, match=r"no matching manifest for linux/s390x .*amd64, linux/arm64"):
        store.images.pull(reference, platform="linux/s390x")


def test_a_layer_that_two_images_share_is_stored_once(store: Store, registry: Registry) -> None:
    base = busybox_layer()
    first = MadeImage([base, layer_tar({"one": b"1"})], {})
    second = MadeImage([base, layer_tar({"two": b"2"})], {})
    one = store.images.pull(registry.push_image("shared/one", first))
    messages: list[dict[str, Any]] = []
    two = store.images.pull(registry.push_image("shared/two", second), progress=messages.append)
    assert one.layers[1] == two.layers[1]
    assert "Already exists" in [message["status"] for message in messages]
    assert len(os.listdir(store.home.layers)) == 3 + 1  # and "empty"
    answer = store.images.remove(one.repo_tags[0])
    assert {"Deleted": f"sha256:{one.layers[0]}"} in answer
    assert store.layers.has(two.layers[1])
    assert not store.layers.has(one.layers[0])


def test_many_layers_and_pulls_at_once(store: Store, registry: Registry) -> None:
    many = MadeImage([layer_tar({f"{n}": bytes([n % 256]) * 50_000}) for n in range(20)], {})
    reference = registry.push_image("many/layers", many)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(store.images.pull(reference).id)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [many.id] * 4
    assert store.left_over() == []


def test_whiteouts_hide_what_is_below(store: Store, registry: Registry) -> None:
    base = layer_tar({"gone": b"", "keep": b"", "dir/": None, "dir/below": b"", "plain/": None, "plain/x": b""})
    change = layer_tar({".wh.gone": b"", "dir/": None, "dir/.wh..wh..opq": b"", "dir/above": b"", ".wh.plain": b""})
    image = store.images.pull(registry.push_image("white/outs", MadeImage([base, change], {})))
    with open_view(store.snapshots.image_mount(image.layers)) as view:
        path = f"/proc/self/fd/{view.fd}"
        assert sorted(os.listdir(path)) == ["dir", "keep"]
        assert os.listdir(f"{path}/dir") == ["above"]


@pytest.mark.parametrize("at", [0, 2, 12, 60, -1], ids=["magic", "method", "data", "middle", "length"])
def test_a_damaged_blob_is_named_and_nothing_is_left(store: Store, registry: Registry, at: int) -> None:
    made = small("to be damaged", Cmd=["x"])
    reference = registry.push_image("damaged/app", made)
    blobs, manifest = made_manifest(made)
    layer = json.loads(manifest)["layers"][0]["digest"]
    path = registry.blob_path(layer)
    damaged = bytearray(blobs[layer])
    damaged[at] ^= 0xFF
    Path(path).write_bytes(bytes(damaged))
    with pytest.raises(WardianError) as error:
        store.images.pull(reference)
    assert f"digest mismatch: blob {layer} from {registry.address}/damaged/app" in error.value.message
    assert os.listdir(store.home.layers) == ["empty"]
    assert store.left_over() == []
    assert store.images.list_images() == []


def test_another_layer_in_place_of_the_right_one_is_a_digest_mismatch(store: Store, registry: Registry) -> None:
    made = small("the right one", Cmd=["y"])
    reference = registry.push_image("swapped/app", made, compress=False)
    blobs, manifest = made_manifest(made, compress=False)
    digest = json.loads(manifest)["layers"][0]["digest"]
    Path(registry.blob_path(digest)).write_bytes(blobs[digest].replace(b"the right one", b"the wrong one"))
    with pytest.raises(WardianError, match=f"digest mismatch: .*{hashlib.sha256(blobs[digest]).hexdigest()}"):
        store.images.pull(reference)
    assert store.left_over() == []


def test_a_config_that_names_other_layers_is_refused(store: Store, registry: Registry) -> None:
    made = small("diff ids")
    liar = MadeImage([layer_tar({"other": b"layer"})], {})
    blobs, manifest = made_manifest(made)
    document = json.loads(manifest)
    config = liar.config()
    document["config"] |= {"digest": liar.id, "size": len(config)}
    for data in (*blobs.values(), config):
        registry.put_blob("liar/app", data)
    registry.put_manifest("liar/app", "latest", json.dumps(document).encode(), document["mediaType"])
    with pytest.raises(WardianError, match="digest mismatch: layer has diff id"):
        store.images.pull(f"{registry.address}/liar/app")
    assert store.left_over() == []


def test_what_is_not_there(store: Store, registry: Registry) -> None:
    registry.push_image("there/app:1", small("there"))
    with pytest.raises(WardianError, match=r"manifest for .*/there/app:2 not found: manifest unknown") as error:
        store.images.pull(f"{registry.address}/there/app:2")
    assert error.value.kind == NOT_FOUND
    with pytest.raises(WardianError, match="not found") as error:
        store.images.pull(f"{registry.address}/nowhere/app")
    assert error.value.kind == NOT_FOUND
    with pytest.raises(WardianError, match=r'Get "http://127.0.0.1:1/v2/.*refused') as error:
        store.images.pull("127.0.0.1:1/x")
    assert error.value.kind == UNAVAILABLE
    with pytest.raises(WardianError, match="No such image: nosuchimg:latest"):
        store.images.resolve("nosuchimg")


def test_basic_authentication(store: Store, tmp_path: Path) -> None:
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    hashed = crypt(b"secret", b"$2b$05$" + b"wardianwardianwardian.")
    (tmp_path / "htpasswd").write_bytes(b"user:" + hashed + b"\n")
    (tmp_path / "registry").mkdir()
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}}
    registry, process = start_registry(str(tmp_path / "registry"), auth)
    try:
        owner = Registry(registry.address, registry.root, "user", "secret")
        reference = owner.push_image("private/app:1", small("private"))
        with pytest.raises(WardianError, match="no basic auth credentials"):
            store.images.pull(reference)
        with pytest.raises(WardianError, match="unauthorized: authentication required"):
            store.images.pull(reference, auth=RegistryAuth("user", "wrong"))
        with pytest.raises(WardianError, match="no basic auth credentials"):
            store.images.pull(reference, auth=RegistryAuth("user", "secret", server="registry.example"))
        right = RegistryAuth("user", "secret", server=registry.address)
        assert store.images.pull(reference, auth=right).repo_tags == (reference,)
    finally:
        process.kill()
        process.wait()


def test_removal_in_dockers_words(store: Store, registry: Registry) -> None:
    reference = registry.push_image("remove/app:1", small("to remove"))
    image = store.images.pull(reference)
    second = reference.replace("app:1", "app:2")
    store.images.tag(reference, second)
    store.images.tag(reference, "other/name")
    assert store.images.resolve("other/name").repo_tags == (*image.repo_tags, second, "other/name:latest")
    with pytest.raises(WardianError, match=r"must be forced.*multiple repositories"):
        store.images.remove(image.id)
    assert store.images.remove("other/name") == [{"Untagged": "other/name:latest"}]
    assert store.images.remove(second) == [{"Untagged": second}]
    running = ImageUse("c" * 64, image.id, running=True)
    with pytest.raises(WardianError, match=r"must force.*is using its referenced image") as error:
        store.images.remove(reference, [running])
    assert error.value.kind == CONFLICT
    with pytest.raises(WardianError, match=r"cannot be forced.*running container cccccccccccc"):
        store.images.remove(image.id, [running], force=True)
    answer = store.images.remove(image.id)
    assert answer[:2] == [{"Untagged": reference}, {"Untagged": image.repo_digests[0]}]
    assert {"Deleted": image.id} in answer
    assert os.listdir(store.home.layers) == ["empty"]
    assert os.listdir(os.path.join(store.home.content, "blobs/sha256")) == []


def test_images_survive_the_engine(store: Store, registry: Registry) -> None:
    reference = registry.push_image("survive/app:1", small("survives"))
    image = store.images.pull(reference)
    again = ImageStore(store.home, LayerStore(store.home, Trash(store.home.trash)))
    assert again.resolve(reference) == image
    again.close()


def test_an_artifact_or_a_schema_1_manifest_is_refused_by_name(store: Store, registry: Registry) -> None:
    blob = registry.put_blob("odd/things", b"{}")
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.example.chart", "digest": blob, "size": 2},
        "layers": [],
    }
    registry.put_manifest("odd/things", "chart", json.dumps(document).encode(), document["mediaType"])
    with pytest.raises(WardianError, match=r"artifact of type application/vnd\.example\.chart") as error:
        store.images.pull(f"{registry.address}/odd/things:chart")
    assert error.value.kind == INVALID


def test_a_removal_leaves_the_layers_of_a_pull_that_is_under_way(store: Store, registry: Registry) -> None:
    """Its image is not recorded yet when its layers are on disk: they are pinned."""
    made = MadeImage([layer_tar({"pinned": b"1"})], {})
    reference = registry.push_image("pinned/app", made)

    def collect(message: dict[str, Any]) -> None:
        if message["status"] == "Pull complete":
            assert store.images.collect_layers(()) == []

    image = store.images.pull(reference, progress=collect)
    assert store.layers.has(image.layers[0])


def test_a_listener_that_is_gone_ends_the_pull(store: Store, registry: Registry) -> None:
    class Gone(Exception):
        pass

    def listen(message: dict[str, Any]) -> None:
        if message["status"] == "Download complete":
            raise Gone

    made = MadeImage([layer_tar({f"gone{n}": b"1"}) for n in range(6)], {})
    with pytest.raises(Gone):
        store.images.pull(registry.push_image("gone/app", made), progress=listen)
    assert store.left_over() == []
    assert os.listdir(store.home.layers) == ["empty"]
