"""Pull: from a reference to an image on disk.

manifest → (index: choose the platform) → config → all layers at once, each one pipeline from its socket to its files →
one sync → the layers get their names → one transaction records the image. Before that last step nothing of it shows,
and whatever fails takes away what was staged.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, NamedTuple

from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.images.auth import RegistryAuth
from wardian.images.image import Image
from wardian.images.manifests import CONFIG_LIMIT, Descriptor, Index, Manifest, descriptor, parse_config, parse_manifest
from wardian.images.platforms import Platform, choose, host_platform, matches, parse_platform, platform_of
from wardian.images.progress import Cancelled, Reporter
from wardian.images.records import ImageRecords, KnownBlob, layers_of
from wardian.images.reference import Reference
from wardian.images.registry import RegistryClient
from wardian.images.streams import counted, inflated, verified
from wardian.storage import LayerStore, StagedLayer

_PARALLEL = 4  # registries serve 3 to 6 connections best; what comes after the socket is bound by two cores
_NESTED = 2  # an index may name an index, once


class Found(NamedTuple):
    """What the registry has: `digest` of what was asked for (an index, perhaps), `data`: the manifest itself."""

    digest: str
    data: bytes
    manifest: Manifest


def pull(
    reference: Reference,
    records: ImageRecords,
    layers: LayerStore,
    report: Reporter,
    *,
    platform: str = "",
    auth: RegistryAuth | None = None,
) -> Image:
    """Bring the image of `reference` (with tag or digest) here; returns it. Blocks: for a worker thread."""
    wanted = parse_platform(platform) if platform else None
    client = RegistryClient(reference, auth)
    report.stopped.calls(client.abort)
    try:
        found = _find(client, reference, wanted or host_platform())
        report.heading(f"Pulling from {reference.path}", reference.digest or reference.tag)
        before = _meant(records, reference)
        digest = reference._replace(tag="", digest=found.digest)
        image = records.snapshot.images.get(found.manifest.config.digest)
        whole = image is not None and all(layers.has(layer) for layer in image.layers)
        same = before is not None and str(digest) in records.snapshot.digests
        if image is None or not whole or not same or before != image.id or wanted is not None:
            image = _bring(client, found, reference, wanted, records, layers, report, digest)
    finally:
        client.close()
    report.send({"status": f"Digest: {found.digest}"})
    news = "Image is up to date" if before == image.id and whole else "Downloaded newer image"
    report.send({"status": f"Status: {news} for {reference.familiar}"})
    return image


def _meant(records: ImageRecords, reference: Reference) -> str | None:
    """The image that the reference means here already."""
    snapshot = records.snapshot
    if reference.digest:
        return snapshot.digests.get(str(reference._replace(tag="")))
    return snapshot.tags.get(str(reference))


def _find(client: RegistryClient, reference: Reference, wanted: Platform) -> Found:
    at = reference.digest or reference.tag
    data, top, media_type = client.manifest(at)
    parsed = parse_manifest(data, media_type, reference.familiar)
    for _ in range(_NESTED):
        if not isinstance(parsed, Index):
            break
        entry = descriptor(choose(parsed.entries, wanted), reference.familiar)
        data, _, media_type = client.manifest(entry.digest)
        parsed = parse_manifest(data, entry.media_type or media_type, f"{reference.familiar_name}@{entry.digest}")
    if isinstance(parsed, Index):
        raise WardianError(INVALID, f"{reference.familiar} cannot be used: its index nests too deep", operation="pull")
    return Found(top, data, parsed)


def _bring(
    client: RegistryClient,
    found: Found,
    reference: Reference,
    wanted: Platform | None,
    records: ImageRecords,
    layers: LayerStore,
    report: Reporter,
    digest: Reference,
) -> Image:
    manifest = found.manifest
    config_bytes = client.blob(manifest.config, CONFIG_LIMIT)
    config = parse_config(config_bytes, len(manifest.layers), reference.familiar)
    actual = platform_of(config)
    if wanted is not None and not matches(wanted, actual):
        raise wrong_platform(reference.familiar, wanted, actual)
    layer_ids = layers_of(config)
    with layers.pin(layer_ids):
        pairs = list(zip(reversed(layer_ids), manifest.layers, strict=True))
        fetched = fetch_layers(client, pairs, layers, report)
        records.remember(_seen(pairs, fetched, reference, records))
        size = sum(layers.facts(layer).size for layer in layer_ids)
        names = [reference] if not reference.digest else []
        return records.add(config_bytes, size, found.data, names, [digest])


def _seen(
    pairs: Sequence[tuple[str, Descriptor]], fetched: Collection[str], reference: Reference, records: ImageRecords
) -> list[KnownBlob]:
    """The blobs that are known to be these layers: just unpacked, or an earlier time. Not by the manifest's word."""
    return [
        KnownBlob(layer, blob.digest, blob.size, blob.media_type, reference.name)
        for layer, blob in pairs
        if layer in fetched or any(known.digest == blob.digest for known in records.blobs(layer))
    ]


def wrong_platform(name: str, wanted: Platform, actual: Platform) -> WardianError:
    """Docker's words: docker-py takes the 404 with them for a missing image."""
    return WardianError(
        NOT_FOUND,
        f"image with reference {name} was found but its platform ({actual}) does not match the specified platform "
        f"({wanted})",
        operation="choose platform",
        subject=name,
    )


def fetch_layers(
    client: RegistryClient, wanted: Sequence[tuple[str, Descriptor]], layers: LayerStore, report: Reporter
) -> Collection[str]:
    """Fetch and unpack what is missing of (layer id, blob) pairs, bottom first, in parallel; commit all together.

    Returns the ids of those that were."""
    missing: dict[str, Descriptor] = {}
    for layer_id, blob in wanted:
        if layers.has(layer_id) or layer_id in missing:
            report.status("Already exists", short(blob))
        else:
            report.status("Pulling fs layer", short(blob))
            missing[layer_id] = blob
    with _staged(layers) as staged:
        with ThreadPoolExecutor(_PARALLEL, "wardian-pull") as pool:
            jobs = [pool.submit(_fetch, client, layer, blob, layers, report, staged) for layer, blob in missing.items()]
            finish(jobs, report)
        layers.commit(staged)
        staged.clear()
    for blob in missing.values():
        report.status("Pull complete", short(blob))
    return missing


@contextmanager
def _staged(layers: LayerStore) -> Iterator[list[StagedLayer]]:
    """Layers on their way: discarded unless the list is cleared (list.append is atomic, threads add to it)."""
    staged: list[StagedLayer] = []
    try:
        yield staged
    finally:
        for layer in staged:
            layers.discard(layer)


def finish(jobs: Sequence["Future[Any]"], report: Reporter) -> None:
    """Wait for all jobs; when one fails the others are told to stop, and its error is raised."""
    done, pending = wait(jobs, return_when=FIRST_EXCEPTION)
    if any(job.exception() is not None for job in done):
        report.stop()
        for job in pending:
            job.cancel()
        wait(jobs)
    errors = [error for job in jobs if not job.cancelled() and (error := job.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Cancelled)):
        raise error


def _fetch(
    client: RegistryClient,
    layer_id: str,
    blob: Descriptor,
    layers: LayerStore,
    report: Reporter,
    staged: list[StagedLayer],
) -> None:
    """One layer: socket → digest → inflate → diff id → files in staging."""
    name = short(blob)
    raw = counted(client.blob_chunks(blob), report.counter("Downloading", name, blob.size))
    checked = verified(raw, blob.digest, blob.size, client.name)
    try:
        staged.append(layers.stage(inflated(checked), layer_id))
    except WardianError as error:
        if error.kind == INVALID:  # why it is no layer: at the end its digest may prove not to be the blob's
            deque(checked, maxlen=0)
        raise
    # Verifying and extracting went on with the download: the lines are told for those who wait for them.
    report.status("Verifying Checksum", name)
    report.status("Download complete", name)
    report.status("Extracting", name, blob.size, blob.size)


def short(blob: Descriptor) -> str:
    """A blob's name in progress lines."""
    return blob.digest.partition(":")[2][:12]
