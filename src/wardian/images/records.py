"""What images there are: rows in the state file, and a snapshot of them in memory that readers take without a lock.

    image         one row for each image id; its config is a blob of the content store
    image_tag     reference in full ("docker.io/library/busybox:latest") → image
    image_digest  repository and manifest (or index) digest that an image was pulled or pushed by → image
    image_blob    layer → blobs in registries that unpack to it

Writes come from worker threads (pulls) and from the event loop: one lock orders them, each is one durable transaction,
and then the snapshot is replaced as a whole. Blobs are written before it: while a transaction is open, every other
connection to the state file waits.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from sqlite3 import Connection, IntegrityError, Row
from types import MappingProxyType
from typing import Any, NamedTuple

from wardian.database import Database, Schema
from wardian.errors import NOT_FOUND, WardianError
from wardian.home import Home
from wardian.images.content import ContentStore, digest_of
from wardian.images.image import Image
from wardian.images.reference import Reference, parse_reference

log = logging.getLogger(__name__)

SCHEMA = Schema(
    "images",
    (
        """
        CREATE TABLE image (
            id TEXT PRIMARY KEY,
            size INTEGER NOT NULL,
            manifest TEXT NOT NULL,
            added_at INTEGER NOT NULL
        );
        CREATE TABLE image_tag (
            reference TEXT PRIMARY KEY,
            image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
            tagged_at INTEGER NOT NULL
        );
        CREATE TABLE image_digest (
            repository TEXT NOT NULL,
            digest TEXT NOT NULL,
            image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
            PRIMARY KEY (repository, digest)
        )
        """,
        """
        ALTER TABLE image ADD COLUMN parent TEXT NOT NULL DEFAULT '';
        CREATE TABLE image_blob (
            layer TEXT NOT NULL,
            repository TEXT NOT NULL,
            digest TEXT NOT NULL,
            size INTEGER NOT NULL,
            media_type TEXT NOT NULL,
            PRIMARY KEY (layer, repository, digest)
        )
        """,
    ),
)


class KnownBlob(NamedTuple):
    """A blob that was seen to be this layer (by its id), and a repository (in full) that has it, or had it once."""

    layer: str
    digest: str
    size: int
    media_type: str
    repository: str


class Snapshot(NamedTuple):
    """All images at one moment. `tags` and `digests` are keyed by references in full."""

    images: MappingProxyType[str, Image]
    tags: MappingProxyType[str, str]
    digests: MappingProxyType[str, str]


class ImageRecords:
    """The tables and their snapshot. `snapshot` is replaced, never changed: take it once for one decision."""

    def __init__(self, home: Home, content: ContentStore) -> None:
        self._database = Database(home.database, [SCHEMA])
        self._content = content
        self._lock = threading.Lock()
        self._blobs_lock = threading.Lock()  # taken before the other: held over blobs whose row is still to come
        self._configs: dict[str, dict[str, Any]] = {}
        self.snapshot = self._read()

    def close(self) -> None:
        self._database.close()

    def add(
        self,
        config: bytes,
        size: int,
        manifest: bytes,
        names: Sequence[Reference],
        digests: Sequence[Reference],
        parent: str = "",
    ) -> Image:
        """Record an image whose layers are on disk, with the tags and repository digests it came by; returns it.

        Its config and manifest become blobs first. Idempotent. A tag that named another image names this one now.
        """
        image_id, now = digest_of(config), time.time_ns()

        def write(db: Connection) -> None:
            row = (image_id, size, manifest_digest, now, parent)
            db.execute("INSERT OR IGNORE INTO image VALUES (?, ?, ?, ?, ?)", row)
            for name in names:
                db.execute("INSERT OR REPLACE INTO image_tag VALUES (?, ?, ?)", (str(name), image_id, now))
            for one in digests:
                db.execute("INSERT OR REPLACE INTO image_digest VALUES (?, ?, ?)", (one.name, one.digest, image_id))

        with self._blobs_lock:
            self._content.write(config)
            manifest_digest = self._content.write(manifest) if manifest else ""
            return self._write(write, adds=True).images[image_id]

    def tag(self, image_id: str, name: Reference) -> Image:
        """Let `name` (with a tag) mean this image; returns it as it is then."""
        row = (str(name), image_id, time.time_ns())
        text = "INSERT OR REPLACE INTO image_tag VALUES (?, ?, ?)"
        return self._write(lambda db: db.execute(text, row), adds=True).images[image_id]

    def pushed(self, image_id: str, name: Reference) -> None:
        """The image can be had by `name`, a repository's digest, from here on."""
        row = (name.name, name.digest, image_id)
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO image_digest VALUES (?, ?, ?)", row))

    def remember(self, blobs: Sequence[KnownBlob]) -> None:
        """Note where blobs are that were seen to be these layers."""
        rows = [(one.layer, one.repository, one.digest, one.size, one.media_type) for one in blobs]
        with self._lock, self._database.durable() as db:
            db.executemany("INSERT OR REPLACE INTO image_blob VALUES (?, ?, ?, ?, ?)", rows)

    def blobs(self, layer: str) -> list[KnownBlob]:
        rows = self._database.read("SELECT * FROM image_blob WHERE layer = ? ORDER BY rowid DESC", (layer,))
        return [
            KnownBlob(row["layer"], row["digest"], row["size"], row["media_type"], row["repository"]) for row in rows
        ]

    def manifests(self, image_id: str) -> list[bytes]:
        """The manifest that the image was pulled by, if it was."""
        rows = self._database.read("SELECT manifest FROM image WHERE id = ?", (image_id,))
        return [self._content.read(row["manifest"]) for row in rows if row["manifest"]]

    def forget(self, names: Sequence[Reference] = (), image_id: str = "") -> None:
        """Remove tags and repository digests, and the image's own row when `image_id` is given."""

        def write(db: Connection) -> None:
            for name in names:
                if name.digest:
                    key = (name.name, name.digest)
                    db.execute("DELETE FROM image_digest WHERE repository = ? AND digest = ?", key)
                else:
                    db.execute("DELETE FROM image_tag WHERE reference = ?", (str(name),))
            if image_id:
                db.execute("DELETE FROM image WHERE id = ?", (image_id,))
                db.execute("UPDATE image SET parent = '' WHERE parent = ?", (image_id,))

        self._write(write)

    def sweep_blobs(self) -> None:
        """Delete the blobs that no row needs any more."""
        with self._blobs_lock:  # an image that is being added has its blobs before its row
            rows = self._database.read("SELECT id, manifest FROM image")
            self._content.keep_only({digest for row in rows for digest in row if digest})
        kept = {layer for image in self.snapshot.images.values() for layer in image.layers}
        gone = [(row["layer"],) for row in self._database.read("SELECT DISTINCT layer FROM image_blob")]
        with self._lock, self._database.durable() as db:
            db.executemany("DELETE FROM image_blob WHERE layer = ?", [row for row in gone if row[0] not in kept])

    def _write(self, write: Callable[[Connection], object], adds: bool = False) -> Snapshot:
        with self._lock:
            try:
                with self._database.durable(adds) as db:
                    write(db)
            except IntegrityError as error:  # its row went while this waited for its turn
                raise WardianError(NOT_FOUND, "the image was removed meanwhile", operation="write image") from error
            self.snapshot = self._read()
            return self.snapshot

    def _read(self) -> Snapshot:
        tags = self._database.read("SELECT * FROM image_tag ORDER BY reference")
        digests = self._database.read("SELECT * FROM image_digest ORDER BY repository, digest")
        tags_of, digests_of = _by_image(tags), _by_image(digests)
        images: dict[str, Image] = {}
        for row in self._database.read("SELECT * FROM image ORDER BY added_at"):
            mine = tags_of.get(row["id"], ())
            config = self._config(row["id"])
            if config is None:
                continue
            images[row["id"]] = Image(
                id=row["id"],
                config=config,
                layers=layers_of(config),
                size=row["size"],
                parent=row["parent"],
                repo_tags=tuple(parse_reference(tag["reference"]).familiar for tag in mine),
                repo_digests=tuple(_familiar(one) for one in digests_of.get(row["id"], ())),
                tagged_at=max((tag["tagged_at"] for tag in mine), default=0),
            )
        return Snapshot(
            MappingProxyType(images),
            MappingProxyType({row["reference"]: row["image"] for row in tags}),
            MappingProxyType({f"{row['repository']}@{row['digest']}": row["image"] for row in digests}),
        )

    def _config(self, image_id: str) -> dict[str, Any] | None:
        """None for one that the disk has lost or damaged: the other images are there still, and a pull mends it."""
        found = self._configs.get(image_id)
        if found is None:
            try:
                found = json.loads(self._content.read(image_id))
            except (WardianError, OSError) as error:
                log.error("images: %s is left out: its config cannot be read: %s", image_id[:19], error)
                return None
            assert isinstance(found, dict)
            self._configs[image_id] = found
        return found


def layers_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Layer ids of a config that `manifests.check_config` has accepted, top first."""
    return tuple(diff_id.partition(":")[2] for diff_id in reversed(config["rootfs"].get("diff_ids") or []))


def _by_image(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["image"], []).append(row)
    return found


def _familiar(row: Row) -> str:
    return parse_reference(f"{row['repository']}@{row['digest']}").familiar
