"""Push: from an image on disk to a registry that may have most of it already.

all layers at once, each: known blobs asked for (HEAD) → mounted from another repository → or archive → gzip → socket;
then the config, then the manifest: the very one that was pulled where all its blobs are there, else a new one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from isal import isal_zlib

from wardian.errors import NOT_FOUND, WardianError
from wardian.images.auth import RegistryAuth
from wardian.images.content import ContentStore, digest_of
from wardian.images.image import Image
from wardian.images.manifests import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    parse_manifest,
)
from wardian.images.platforms import matches, parse_platform, platform_of
from wardian.images.progress import Reporter
from wardian.images.pull import finish, wrong_platform
from wardian.images.records import ImageRecords, KnownBlob
from wardian.images.reference import Reference, parse_reference
from wardian.images.refusals import PUSH
from wardian.images.registry import RegistryClient
from wardian.images.streams import counted
from wardian.images.uploads import Uploader
from wardian.storage import LayerStore

_PARALLEL = 5  # as Docker's max-concurrent-uploads
_ASKED = 4  # known blobs that are asked for, and repositories to mount from, before a layer is sent
_LEVEL = 2  # of ISA-L's 0 to 3; fixed, as the same layer is to be the same blob
_GZIP = 31  # wbits: deflate with gzip's header (zlib.h), without a time or a name


class _Push(NamedTuple):
    """What the steps of one push share."""

    reference: Reference
    uploader: Uploader
    records: ImageRecords
    layers: LayerStore
    content: ContentStore
    report: Reporter


def push(
    reference: Reference,
    records: ImageRecords,
    layers: LayerStore,
    content: ContentStore,
    report: Reporter,
    *,
    platform: str = "",
    auth: RegistryAuth | None = None,
) -> list[tuple[str, Image]]:
    """Push the tag of `reference`, or all tags that its repository has here; returns what was. For a worker thread."""
    report.send({"status": f"The push refers to repository [{reference.name}]"})
    chosen = _chosen(reference, records)
    wanted = parse_platform(platform) if platform else None
    for tag, image in chosen:
        if wanted is not None and not matches(wanted, actual := platform_of(image.config)):
            raise wrong_platform(reference._replace(tag=tag).familiar, wanted, actual)
    sources = _sources(reference, [image for _, image in chosen], records)
    client = RegistryClient(reference, auth, PUSH, sources)
    report.stopped.calls(client.abort)
    shared = _Push(reference, Uploader(reference, client), records, layers, content, report)
    try:
        shared.uploader.reach()
        for tag, image in chosen:
            with layers.pin(image.layers):
                _push_one(shared, tag, image)
    finally:
        client.close()
    return chosen


def _chosen(reference: Reference, records: ImageRecords) -> list[tuple[str, Image]]:
    snapshot = records.snapshot
    tags = {name: image for name, image in snapshot.tags.items() if parse_reference(name).name == reference.name}
    if reference.tag:
        tags = {name: image for name, image in tags.items() if name == str(reference)}
    if not tags:
        message = f"An image does not exist locally with the tag: {reference.familiar_name}"
        raise WardianError(NOT_FOUND, message, operation="push", subject=reference.familiar)
    return [(parse_reference(name).tag, snapshot.images[image]) for name, image in sorted(tags.items())]


def _sources(reference: Reference, images: Iterable[Image], records: ImageRecords) -> list[str]:
    """Paths of other repositories of the registry that have some of the layers: a token is to allow reading them."""
    blobs = [blob for image in images for layer in image.layers for blob in records.blobs(layer)]
    repositories = [parse_reference(blob.repository) for blob in blobs]
    paths = [one.path for one in repositories if one.domain == reference.domain and one.path != reference.path]
    return list(dict.fromkeys(paths))[:_ASKED]


def _push_one(shared: _Push, tag: str, image: Image) -> None:
    blobs = _push_layers(shared, image)
    config = shared.content.read(image.id)
    shared.uploader.send_whole(config, image.id)
    data, media_type = _manifest(shared, image, config, blobs)
    shared.uploader.name(data, media_type, tag)
    digest = digest_of(data)
    shared.records.pushed(image.id, shared.reference._replace(tag="", digest=digest))
    shared.report.send({"status": f"{tag}: digest: {digest} size: {len(data)}"})
    shared.report.send({"progressDetail": {}, "aux": {"Tag": tag, "Digest": digest, "Size": len(data)}})


def _push_layers(shared: _Push, image: Image) -> list[Descriptor]:
    """Bring every layer there; returns their blobs, bottom first."""
    wanted = list(dict.fromkeys(image.layers))  # an image may have a layer twice
    for layer in wanted:
        shared.report.status("Preparing", layer[:12])
    with ThreadPoolExecutor(_PARALLEL, "wardian-push") as pool:
        jobs = {layer: pool.submit(_push_layer, shared, layer) for layer in wanted}
        finish(list(jobs.values()), shared.report)
    return [jobs[layer].result() for layer in reversed(image.layers)]


def _push_layer(shared: _Push, layer: str) -> Descriptor:
    report, name = shared.report, layer[:12]
    report.check()
    known = shared.records.blobs(layer)
    mine = [blob for blob in known if blob.repository == shared.reference.name]
    digests = list(dict.fromkeys(blob.digest for blob in (*mine, *known)))[:_ASKED]
    for blob in (next(one for one in known if one.digest == digest) for digest in digests):
        if shared.uploader.has(blob.digest):
            report.status("Layer already exists", name)
            return _remembered(shared, layer, Descriptor(blob.digest, blob.size, blob.media_type))
    for blob, source in _mountable(shared.reference, known):
        if shared.uploader.mount(blob.digest, source):
            report.status(f"Mounted from {source}", name)
            return _remembered(shared, layer, Descriptor(blob.digest, blob.size, blob.media_type))
    sent = shared.uploader.send(_compressed(shared, layer), DOCKER_LAYER)
    report.status("Pushed", name)
    return _remembered(shared, layer, sent)


def _mountable(reference: Reference, known: Sequence[KnownBlob]) -> list[tuple[KnownBlob, str]]:
    parsed = [(blob, parse_reference(blob.repository)) for blob in known]
    return [(blob, one.path) for blob, one in parsed if one.domain == reference.domain and one.path != reference.path][
        :_ASKED
    ]


def _remembered(shared: _Push, layer: str, blob: Descriptor) -> Descriptor:
    shared.records.remember([KnownBlob(layer, blob.digest, blob.size, blob.media_type, shared.reference.name)])
    return blob


def _compressed(shared: _Push, layer: str) -> Iterator[bytes]:
    total = max(shared.layers.facts(layer).archive, 0)
    tell = shared.report.counter("Pushing", layer[:12], total)
    return gzipped(counted(shared.layers.archive(layer), tell))


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member, the same for the same bytes however they are cut."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _manifest(shared: _Push, image: Image, config: bytes, blobs: Sequence[Descriptor]) -> tuple[bytes, str]:
    """Bytes and media type: as it was pulled, so that its digest stays what it was, or one of our making."""
    for data in shared.records.manifests(image.id):
        parsed = parse_manifest(data, "", image.id)
        if isinstance(parsed, Manifest) and [one.digest for one in parsed.layers] == [one.digest for one in blobs]:
            return data, str(json.loads(data).get("mediaType") or OCI_MANIFEST)
    oci = any("zstd" in blob.media_type for blob in blobs)  # Docker's schema 2 knows gzip alone
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST if oci else DOCKER_MANIFEST,
        "config": {"mediaType": OCI_CONFIG if oci else DOCKER_CONFIG, "size": len(config), "digest": image.id},
        "layers": [
            {"mediaType": _layer_type(blob.media_type, oci), "size": blob.size, "digest": blob.digest} for blob in blobs
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode(), document["mediaType"]


def _layer_type(media_type: str, oci: bool) -> str:
    """The same kind of blob as OCI or Docker call it."""
    if oci:
        ending = media_type.rpartition("+")[2] if "+" in media_type else "gzip" if media_type.endswith("gzip") else ""
        return f"{OCI_LAYER}+{ending}" if ending else OCI_LAYER
    plain = not media_type.endswith("gzip")
    return "application/vnd.docker.image.rootfs.diff.tar" if plain else DOCKER_LAYER
