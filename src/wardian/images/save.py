"""Save: images as one tar that `docker load` takes, of any age: docker-archive and OCI layout over the same blobs.

    blobs/sha256/HEX    configs, manifests, and the layers uncompressed
    manifest.json       docker-archive: config, names and layers of each image
    repositories        name → tag → top layer, for those before 1.10
    index.json          OCI image-layout: a manifest for each name
    oci-layout

The same images give the same archive, byte for byte: nothing in it tells when it was made.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from wardian.errors import NOT_FOUND, WardianError
from wardian.images.content import ContentStore, digest_of
from wardian.images.image import Image
from wardian.images.manifests import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from wardian.images.records import Snapshot
from wardian.images.reference import Reference, parse_reference
from wardian.storage import TAR_END, LayerStore, tar_header
from wardian.storage.tar import BLOCK, DIRECTORY, REGULAR, TarEntry

_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


class Chosen(NamedTuple):
    """An image to save, and the names that it is saved under."""

    image: Image
    names: tuple[Reference, ...]


def choose(texts: Sequence[str], snapshot: Snapshot, resolve: Callable[[str], Image]) -> list[Chosen]:
    """What names, ids and digests mean, as Docker's: a repository without a tag means all its tags. Each image once."""
    names: dict[str, list[Reference]] = {}
    for text in texts:
        found = _tags(text, snapshot)
        if not found:
            names.setdefault(_found(text, resolve).id, [])
        for name in found:
            mine = names.setdefault(snapshot.tags[str(name)], [])
            if name not in mine:
                mine.append(name)
    return [Chosen(snapshot.images[image], tuple(mine)) for image, mine in names.items()]


def _found(text: str, resolve: Callable[[str], Image]) -> Image:
    try:
        return resolve(text)
    except WardianError as error:
        if error.kind != NOT_FOUND:
            raise
        raise WardianError(NOT_FOUND, f"No such image: {text}", operation="save", subject=text) from None


def _tags(text: str, snapshot: Snapshot) -> list[Reference]:
    try:
        name = parse_reference(text)
    except WardianError:
        return []
    if name.digest:
        return []
    if name.tag:
        return [name] if str(name) in snapshot.tags else []
    tags = [parse_reference(known) for known in snapshot.tags]
    return [tag for tag in tags if tag.name == name.name]


def save(chosen: Sequence[Chosen], content: ContentStore, layers: LayerStore) -> Iterator[bytes]:
    """The archive's bytes. What the images are made of stays while it is read."""
    with ExitStack() as held:
        held.enter_context(layers.pin([layer for one in chosen for layer in one.image.layers]))
        sizes = {layer: _size(layers, layer) for one in chosen for layer in one.image.layers}
        small = _small_blobs(chosen, content, sizes)
        yield _directory("blobs/") + _directory("blobs/sha256/")
        for digest in sorted({*small, *(f"sha256:{layer}" for layer in sizes)}):
            name, data = _path(digest), small.get(digest)
            if data is not None:
                yield _file(name, data)
            else:
                layer = digest.partition(":")[2]
                yield from _streamed(name, sizes[layer], layers.archive(layer))
        for name, document in _indexes(chosen, small, sizes):
            yield _file(name, _encoded(document))
        yield TAR_END


def _size(layers: LayerStore, layer: str) -> int:
    size = layers.facts(layer).archive
    if size < 0:
        message = f"layer sha256:{layer} cannot be saved: it was stored by an earlier Wardian, without its outline"
        hint = "remove its images and pull or load them again"
        raise WardianError(NOT_FOUND, message, operation="save", subject=layer, hint=hint)
    return size


def _small_blobs(chosen: Iterable[Chosen], content: ContentStore, sizes: dict[str, int]) -> dict[str, bytes]:
    """Configs as they came, and a manifest for each image."""
    blobs = {}
    for one in chosen:
        config = content.read(one.image.id)
        manifest = _encoded(_manifest(one.image, len(config), sizes))
        blobs[one.image.id] = config
        blobs[digest_of(manifest)] = manifest
    return blobs


def _manifest(image: Image, config_size: int, sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": image.id, "size": config_size},
        "layers": [_layer(layer, sizes) for layer in reversed(image.layers)],
    }


def _layer(layer: str, sizes: dict[str, int]) -> dict[str, Any]:
    return {"mediaType": OCI_LAYER, "digest": f"sha256:{layer}", "size": sizes[layer]}


def _indexes(
    chosen: Sequence[Chosen], small: dict[str, bytes], sizes: dict[str, int]
) -> Iterator[tuple[str, dict[str, Any] | list[Any]]]:
    manifests: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    for image, names in chosen:
        data = _encoded(_manifest(image, len(small[image.id]), sizes))
        target = {"mediaType": OCI_MANIFEST, "digest": digest_of(data), "size": len(data)}
        manifests += [{**target, "annotations": {_NAME: str(name), _REF_NAME: name.tag}} for name in names] or [target]
        entry: dict[str, Any] = {
            "Config": _path(image.id),
            "RepoTags": [name.familiar for name in names] or None,
            "Layers": [_path(f"sha256:{layer}") for layer in reversed(image.layers)],
        }
        if image.layers:
            entry["LayerSources"] = {f"sha256:{layer}": _layer(layer, sizes) for layer in reversed(image.layers)}
            for name in names:
                repositories.setdefault(name.familiar_name, {})[name.tag] = image.layers[0]
        entries.append(entry)
    yield "index.json", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    yield "manifest.json", entries
    yield "oci-layout", {"imageLayoutVersion": "1.0.0"}
    if repositories:
        yield "repositories", repositories


def _encoded(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _directory(name: str) -> bytes:
    return tar_header(TarEntry(name.encode(), DIRECTORY, 0o755, 0, 0, 0, 0, b"", 0, 0, ()))


def _file(name: str, data: bytes) -> bytes:
    return b"".join(_streamed(name, len(data), [data]))


def _streamed(name: str, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield tar_header(TarEntry(name.encode(), REGULAR, 0o644, 0, 0, size, 0, b"", 0, 0, ()))
    yield from pieces
    yield bytes(-size % BLOCK)
