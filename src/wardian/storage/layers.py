"""Image layers on disk: each an unpacked directory named by its diff id, stored once however many images have it.

    layers/DIFF_ID/diff         the tree, as an overlay lower (whiteouts are 0/0 devices, opaque is an xattr)
    layers/DIFF_ID/outline.gz   what else its archive had (outline.py): with the tree, the archive byte for byte
    layers/DIFF_ID/layer.json   LayerFacts: written before the directory gets its name
    staging/RANDOM              a layer on its way

A layer under its final name is complete: unpacked in staging, diff id verified, synced once for a whole image, renamed.
A crash leaves at most something in staging, which the next start sweeps.
"""

import contextlib
import hashlib
import json
import os
import secrets
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from wardian.errors import INVALID, WardianError
from wardian.home import Home
from wardian.kernel.fds import sync_file_system
from wardian.storage.outline import OutlineWriter, archive
from wardian.storage.trash import Trash, remove_tree
from wardian.storage.unpack import unpack

_HEX = frozenset("0123456789abcdef")


class LayerFacts(NamedTuple):
    """What is known of a layer: bytes in its files, entries in its archive, whether it hides all below it at `/`, and
    the archive's size (-1 where an earlier engine did not note it)."""

    size: int
    entries: int
    opaque_root: bool
    archive: int = -1


class StagedLayer(NamedTuple):
    """A layer unpacked and verified under no name yet: `commit` or `discard` it."""

    diff_id: str
    path: str
    facts: LayerFacts


class LayerStore:
    """The layers of one data root. Thread-safe: downloads unpack in parallel."""

    def __init__(self, home: Home, trash: Trash) -> None:
        self._root = home.layers
        self._staging = home.staging
        self._trash = trash
        self._lock = threading.Lock()
        self._pinned: Counter[str] = Counter()
        self._facts: dict[str, LayerFacts] = {}
        self.empty = os.path.join(self._root, "empty")
        for path in (self._root, self._staging):
            os.makedirs(path, mode=0o710, exist_ok=True)
        os.makedirs(self.empty, mode=0o755, exist_ok=True)

    def sweep(self) -> None:
        """Take away what an earlier engine left in staging. Called once at start, before any pull."""
        for name in os.listdir(self._staging):
            self._trash.discard(os.path.join(self._staging, name))

    def path(self, layer_id: str) -> str:
        """The directory that is the overlay lower of a layer. Raises INVALID for what is no layer id."""
        if len(layer_id) != 64 or not _HEX.issuperset(layer_id):
            raise WardianError(INVALID, f"not a layer id: {layer_id!r}", subject=layer_id)
        return os.path.join(self._root, layer_id, "diff")

    def has(self, layer_id: str) -> bool:
        """Whether the layer is here, whole."""
        return os.path.isdir(self.path(layer_id))

    def facts(self, layer_id: str) -> LayerFacts:
        """What was found when the layer was unpacked. Raises FileNotFoundError for a layer that is not here."""
        found = self._facts.get(layer_id)
        if found is None:
            with open(os.path.join(os.path.dirname(self.path(layer_id)), "layer.json"), encoding="ascii") as file:
                found = LayerFacts(**json.load(file))
            self._facts[layer_id] = found
        return found

    def archive(self, layer_id: str) -> Iterator[bytes]:
        """The layer's archive, uncompressed, byte for byte as it came: its digest is the layer's id, or SYSTEM is
        raised at its end. Pin the layer meanwhile, or have it in an image that stays."""
        return archive(os.path.dirname(self.path(layer_id)), layer_id)

    def lowers(self, layer_ids: Sequence[str]) -> tuple[str, ...]:
        """Directories for an overlay (top first). What lies below a layer with an opaque `/` is left out:
        overlayfs honours the opaque mark on every directory but the root itself."""
        lowers: list[str] = []
        for layer_id in layer_ids:
            lowers.append(self.path(layer_id))
            if self.facts(layer_id).opaque_root:
                break
        return tuple(lowers)

    def stage(self, chunks: Iterable[bytes], expected_diff_id: str = "") -> StagedLayer:
        """Unpack an uncompressed layer archive, every byte of it hashed on the way.

        Raises INVALID when the archive is no layer or its digest is not `expected_diff_id` (64 hex); nothing is left.
        """
        path = os.path.join(self._staging, f"layer.{secrets.token_hex(8)}")
        os.mkdir(path, 0o710)
        try:
            digest = hashlib.sha256()
            with contextlib.closing(OutlineWriter(path)) as outline:
                unpacked = unpack(_hashed(chunks, digest), os.path.join(path, "diff"), outline)
            diff_id = digest.hexdigest()
            if expected_diff_id and diff_id != expected_diff_id:
                raise WardianError(
                    INVALID,
                    f"digest mismatch: layer has diff id sha256:{diff_id}, its image says sha256:{expected_diff_id}",
                    operation="unpack layer",
                    subject=f"sha256:{expected_diff_id}",
                )
            facts = LayerFacts(unpacked.size, unpacked.entries, unpacked.opaque_root, outline.archive_size)
            with open(os.path.join(path, "layer.json"), "w", encoding="ascii") as file:
                json.dump(facts._asdict(), file)
        except BaseException:
            remove_tree(self._staging, os.path.basename(path))  # here and now: the disk may be full
            raise
        return StagedLayer(diff_id, path, facts)

    def commit(self, staged: Sequence[StagedLayer]) -> None:
        """Give staged layers their names, after one sync for all of them. Idempotent: a layer already here is kept."""
        if not staged:
            return
        sync_file_system(self._staging)
        for layer in staged:
            target = os.path.dirname(self.path(layer.diff_id))
            try:
                os.rename(layer.path, target)
            except OSError:
                if not self.has(layer.diff_id):
                    raise
                self._trash.discard(layer.path)  # another image brought the same layer meanwhile
            self._facts[layer.diff_id] = layer.facts
        sync_directory(self._root)

    def discard(self, staged: StagedLayer) -> None:
        """Drop a staged layer that is not wanted after all; nothing where it has its name already."""
        with contextlib.suppress(FileNotFoundError):
            remove_tree(self._staging, os.path.basename(staged.path))

    @contextlib.contextmanager
    def pin(self, layer_ids: Collection[str]) -> Iterator[None]:
        """Keep layers from `collect` while their image is not recorded yet."""
        with self._lock:
            self._pinned.update(layer_ids)
        try:
            yield
        finally:
            with self._lock:
                self._pinned.subtract(layer_ids)
                self._pinned += Counter()  # forgets those at zero

    def collect(self, roots: Collection[str]) -> list[str]:
        """Remove every layer that is neither in `roots` nor pinned; returns the ids removed."""
        removed: list[str] = []
        with self._lock:
            for name in os.listdir(self._root):
                if len(name) == 64 and name not in roots and name not in self._pinned:
                    self._facts.pop(name, None)
                    if self._trash.discard(os.path.join(self._root, name)):
                        removed.append(name)
        return removed


def _hashed(chunks: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def sync_directory(path: str) -> None:
    """fsync(2) of a directory: the names in it are durable then."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
