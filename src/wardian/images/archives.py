"""Load: images out of a tar, as `docker save` writes it (manifest.json) or as an OCI image layout (index.json).

The archive comes as a stream, its index often last: its files are spooled into a staging directory under numbers of
ours, and found again by the names they had. Blobs are verified against the digests that point to them.
"""

import json
import os
import posixpath
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from wardian.errors import INVALID, WardianError
from wardian.home import Home
from wardian.images.content import digest_of, verify
from wardian.images.image import Image
from wardian.images.manifests import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    Descriptor,
    Index,
    descriptor,
    parse_config,
    parse_manifest,
)
from wardian.images.platforms import Platform, choose, host_platform, parse_platform
from wardian.images.progress import Reporter
from wardian.images.records import ImageRecords, layers_of
from wardian.images.reference import Reference, parse_reference
from wardian.images.streams import counted, file_chunks, inflated, verified
from wardian.storage import LayerStore, StagedLayer
from wardian.storage.tar import HARD_LINK, REGULAR, SYMLINK, TarReader

_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_LINKS = 8  # old archives have layers as links to layers
_NAME_LIMIT = 4096  # PATH_MAX: bytes of one name or link
_NAMES_LIMIT = 32 << 20  # bytes of memory for all of them: a real archive has some hundred
_ENTRY_COST = 320  # bytes that Python takes for an entry, apart from its names


class _Part(NamedTuple):
    """An image of the archive: config, names, and how to read each layer (bottom first)."""

    config: bytes
    manifest: bytes  # empty in a docker archive
    names: tuple[Reference, ...]
    digests: tuple[Reference, ...]
    layers: tuple["_Blob", ...]


class _Blob(NamedTuple):
    """A layer file; `wanted` is None where only the diff id will tell (docker archives)."""

    name: str
    wanted: Descriptor | None


class Spool:
    """The regular files of an archive, on disk until `close`; `names` are theirs as the archive wrote them."""

    def __init__(self, home: Home, chunks: Iterable[bytes]) -> None:
        self._path = os.path.join(home.staging, f"load.{secrets.token_hex(8)}")
        self._files: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._written = 0  # files; more than there are names where one comes twice
        self._memory = 0
        os.makedirs(self._path, mode=0o700)
        try:
            self._fill(TarReader(chunks))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def read(self, name: str, limit: int) -> bytes:
        """A small file whole. Raises INVALID when it is missing or larger than `limit`."""
        path = self.path(name)
        if os.path.getsize(path) > limit:
            raise _broken(f"{name} is larger than {limit} bytes")
        with open(path, "rb") as file:
            return file.read()

    def path(self, name: str) -> str:
        found = self._find(name)
        if found is None:
            raise _broken(f"it names {name!r}, which it does not hold")
        return found

    def _find(self, name: str) -> str | None:
        name = posixpath.normpath(name)
        for _ in range(_LINKS):
            if name in self._files:
                return self._files[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None

    def _fill(self, reader: TarReader) -> None:
        for entry in reader:
            if entry.kind == REGULAR:
                self._add_file(_name(entry.name), reader)
            elif entry.kind in (SYMLINK, HARD_LINK):
                name = _name(entry.name)
                base = posixpath.dirname(name) if entry.kind == SYMLINK else ""
                self._keep(self._links, name, posixpath.normpath(posixpath.join(base, _name(entry.link))))

    def _add_file(self, name: str, reader: TarReader) -> None:
        path = os.path.join(self._path, str(self._written))
        self._written += 1
        self._keep(self._files, name, path)
        with open(path, "xb") as file:
            for piece in reader.data():
                file.write(piece)

    def _keep(self, table: dict[str, str], name: str, value: str) -> None:
        self._memory += _ENTRY_COST + sys.getsizeof(name) + sys.getsizeof(value)
        if self._memory > _NAMES_LIMIT:
            raise _broken(f"the names in it take more than {_NAMES_LIMIT >> 20} MiB")
        table[name] = value


def load(
    chunks: Iterable[bytes],
    home: Home,
    records: ImageRecords,
    layers: LayerStore,
    report: Reporter,
    *,
    platform: str = "",
) -> list[Image]:
    """Bring every image of the archive here. Blocks: for a worker thread."""
    wanted = parse_platform(platform) if platform else host_platform()
    spool = Spool(home, inflated(chunks))
    try:
        parts = list(_parts(spool, wanted))
        if not parts:
            raise _broken("there is no image in it")
        return [_bring(part, spool, records, layers, report) for part in parts]
    finally:
        spool.close()


def _parts(spool: Spool, wanted: Platform) -> Iterator[_Part]:
    if spool.has("manifest.json"):  # `docker save` since 25 writes both; only this one has all the names
        return _docker_parts(spool)
    if spool.has("index.json"):
        return _layout_parts(spool, wanted)
    raise _broken("it has neither manifest.json (docker save) nor index.json (OCI layout)")


def _docker_parts(spool: Spool) -> Iterator[_Part]:
    for entry in _objects(spool.read("manifest.json", MANIFEST_LIMIT), "manifest.json"):
        config_name, files = entry.get("Config"), entry.get("Layers") or []
        tags = entry.get("RepoTags") or []
        if not isinstance(config_name, str) or not _are_strings(files) or not _are_strings(tags):
            raise _broken("manifest.json has an entry whose Config, Layers or RepoTags are not strings")
        names = tuple(parse_reference(tag).with_default_tag() for tag in tags)
        config = spool.read(config_name, CONFIG_LIMIT)
        yield _Part(config, b"", names, (), tuple(_Blob(name, None) for name in files))


def _layout_parts(spool: Spool, wanted: Platform) -> Iterator[_Part]:
    index = parse_manifest(spool.read("index.json", MANIFEST_LIMIT), "", "index.json")
    if not isinstance(index, Index):
        raise _broken("index.json is no index")
    for entry in index.entries:
        target = descriptor(entry, "index.json")
        data = _blob(spool, target, MANIFEST_LIMIT)
        parsed = parse_manifest(data, target.media_type, target.digest)
        if isinstance(parsed, Index):
            chosen = descriptor(choose(parsed.entries, wanted), target.digest)
            data = _blob(spool, chosen, MANIFEST_LIMIT)
            parsed = parse_manifest(data, chosen.media_type, chosen.digest)
        if isinstance(parsed, Index):
            raise _broken("its indexes nest too deep")
        names = _names(entry.get("annotations"))
        digests = tuple(name._replace(tag="", digest=target.digest) for name in names)
        blobs = tuple(_Blob(_blob_name(layer), layer) for layer in parsed.layers)
        yield _Part(_blob(spool, parsed.config, CONFIG_LIMIT), data, names, digests, blobs)


def _names(annotations: object) -> tuple[Reference, ...]:
    """The full name that containerd and Docker write; the plain ref.name only when it is more than a tag."""
    if not isinstance(annotations, Mapping):
        return ()
    full, short = annotations.get(_NAME), annotations.get(_REF_NAME)
    text = full or (short if isinstance(short, str) and (":" in short or "/" in short) else "")
    return (parse_reference(str(text)).with_default_tag()._replace(digest=""),) if text else ()


def _blob_name(wanted: Descriptor) -> str:
    return "blobs/" + wanted.digest.replace(":", "/")


def _blob(spool: Spool, wanted: Descriptor, limit: int) -> bytes:
    data = spool.read(_blob_name(wanted), limit)
    verify(data, wanted.digest, "the archive")
    return data


def _bring(part: _Part, spool: Spool, records: ImageRecords, layers: LayerStore, report: Reporter) -> Image:
    config = parse_config(part.config, len(part.layers), f"image {digest_of(part.config)[:19]} of the archive")
    layer_ids = layers_of(config)
    with layers.pin(layer_ids):
        staged: dict[str, StagedLayer] = {}
        try:
            for layer_id, blob in zip(reversed(layer_ids), part.layers, strict=True):
                if not layers.has(layer_id) and layer_id not in staged:
                    staged[layer_id] = _unpack(layer_id, blob, spool, layers, report)
            layers.commit(list(staged.values()))
            staged.clear()
        finally:
            for layer in staged.values():
                layers.discard(layer)
        size = sum(layers.facts(layer).size for layer in layer_ids)
        image = records.add(part.config, size, part.manifest, part.names, part.digests)
    for name in part.names:
        report.send({"stream": f"Loaded image: {name.familiar}\n"})
    if not part.names:
        report.send({"stream": f"Loaded image ID: {image.id}\n"})
    return image


def _unpack(layer_id: str, blob: _Blob, spool: Spool, layers: LayerStore, report: Reporter) -> StagedLayer:
    path = spool.path(blob.name)
    total = os.path.getsize(path)
    tell: Callable[[int], None] = report.counter("Loading layer", layer_id[:12], total)
    with open(path, "rb") as file:
        raw = counted(file_chunks(file), tell)
        checked = raw if blob.wanted is None else verified(raw, blob.wanted.digest, blob.wanted.size, "the archive")
        staged = layers.stage(inflated(checked), layer_id)
    report.status("Loading layer", layer_id[:12], total, total)
    return staged


def _name(raw: bytes) -> str:
    if len(raw) > _NAME_LIMIT:
        raise _broken(f"a name in it is longer than {_NAME_LIMIT} bytes")
    return posixpath.normpath(os.fsdecode(raw))


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _objects(data: bytes, name: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _broken(f"{name} is not JSON") from None
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        raise _broken(f"{name} is not a list of objects")
    return document


def _broken(reason: str) -> WardianError:
    return WardianError(INVALID, f"the archive cannot be loaded: {reason}", operation="load")
