"""Manifests, indexes and configs as registries and archives hand them out: decoded, and checked before use.

Field names are those of the OCI image-spec; Docker's schema 2 and manifest list have the same shape under other media
types. Schema 1 is refused by name. Every digest is checked against its grammar here, so that none becomes a bad path.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.images.reference import is_digest
from wardian.images.runconfig import fault

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ACCEPTED = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)

MANIFEST_LIMIT = 4 << 20  # what registries must accept at least (distribution-spec), and nobody exceeds
CONFIG_LIMIT = 8 << 20
_LAYERS_LIMIT = 499  # overlayfs takes 500 lowers (OVL_MAX_STACK); a container that ran is read with its upper as one
_CONFIG_TYPES = (
    OCI_CONFIG,
    DOCKER_CONFIG,
    "application/octet-stream",  # some old Docker versions
    "",
)


class Descriptor(NamedTuple):
    """What points to a blob: its digest and its size in bytes."""

    digest: str
    size: int
    media_type: str


class Manifest(NamedTuple):
    """An image of one platform: layers bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class Index(NamedTuple):
    """Manifests of several platforms, as they stand in the document."""

    entries: tuple[Mapping[str, Any], ...]


def parse_manifest(data: bytes, media_type: str, source: str) -> Manifest | Index:
    """Decode a manifest or an index. `media_type` is the transport's word for it; the document's own goes first."""
    document = json_document(data, source)
    stated = str(document.get("mediaType") or media_type)
    if document.get("schemaVersion") == 1:
        raise WardianError(
            NOT_IMPLEMENTED, f"{source} is a Docker schema 1 manifest (deprecated in 2017): not built", subject=source
        )
    # The two shapes at once would be an image that is one thing to a scanner and another to us (CVE-2021-41190).
    if "manifests" in document and "layers" in document:
        raise _invalid(source, "it is an index and a manifest at once")
    if stated in (OCI_INDEX, DOCKER_LIST) or "manifests" in document:
        entries = document.get("manifests") or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise _invalid(source, "its manifests are not a list of descriptors")
        return Index(tuple(entries))
    config = descriptor(document.get("config"), source)
    if config.media_type not in _CONFIG_TYPES:
        raise _invalid(source, f"it is no container image but an artifact of type {config.media_type}")
    layers = document.get("layers")
    if not isinstance(layers, list) or len(layers) > _LAYERS_LIMIT:
        raise _invalid(source, f"its layers are not a list of at most {_LAYERS_LIMIT}")
    return Manifest(config, tuple(descriptor(layer, source) for layer in layers))


def descriptor(value: object, source: str) -> Descriptor:
    """Decode a descriptor; its digest is well-formed then. `urls` (foreign layers) are never followed."""
    if not isinstance(value, dict):
        raise _invalid(source, "a descriptor is missing")
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise _invalid(source, f"invalid digest {str(digest)[:100]!r}")
    if not isinstance(size, int) or size < 0:
        raise _invalid(source, f"blob {digest} has size {size!r}")
    return Descriptor(digest, size, str(value.get("mediaType") or ""))


def parse_config(data: bytes, layer_count: int, source: str) -> dict[str, Any]:
    """Decode an image config and check all that the engine relies on later. `layer_count` is -1 when unknown."""
    config = json_document(data, source)
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if diff_ids is None and isinstance(rootfs, dict):
        rootfs["diff_ids"] = diff_ids = []
    if not isinstance(diff_ids, list) or not all(isinstance(one, str) and is_digest(one) for one in diff_ids):
        raise _invalid(source, "its config names no layers by diff id")
    if len(diff_ids) > _LAYERS_LIMIT:
        raise _invalid(source, f"its config names {len(diff_ids)} layers, more than {_LAYERS_LIMIT}")
    if layer_count not in (-1, len(diff_ids)):
        raise _invalid(source, f"it has {layer_count} layers, but its config names {len(diff_ids)}")
    run_config = config.get("config") or {}
    if not isinstance(run_config, dict):
        raise _invalid(source, "its run configuration is not an object")
    if reason := fault(run_config):
        raise _invalid(source, reason)
    history = config.get("history") or []
    if not isinstance(history, list) or not all(isinstance(step, dict) for step in history):
        raise _invalid(source, "its history is not a list of objects")
    if str(config.get("os") or "linux") != "linux":
        raise _invalid(source, f'image operating system "{config.get("os")}" cannot be used on this platform')
    return config


def json_document(data: bytes, source: str) -> dict[str, Any]:
    """A manifest's or config's JSON object, nothing of which is checked. Raises INVALID."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _invalid(source, "it is not JSON") from None
    if not isinstance(document, dict):
        raise _invalid(source, "it is not a JSON object")
    return document


def _invalid(source: str, reason: str) -> WardianError:
    return WardianError(INVALID, f"{source} cannot be used: {reason}", operation="read manifest", subject=source)
