"""Volumes on disk: a row for each, and a directory that containers mount.

    volumes/NAME/_data      what containers see
    staging/volume.RANDOM   a volume on its way, or what is being copied into one

A volume has its directory first and its row then, both on disk before anyone hears of it; it loses them in that order
too. What a crash left between the two is settled at the next start, and what somebody wrote is never thrown away there.
"""

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from wardian.database import Database, Schema
from wardian.errors import WardianError
from wardian.home import Home
from wardian.kernel.mounts import Mount
from wardian.storage.layers import sync_directory
from wardian.storage.trash import Trash
from wardian.storage.usage import tree_size
from wardian.storage.volume_options import ANONYMOUS, DRIVER, check_options, check_volume_name, volume_mount

log = logging.getLogger(__name__)

VOLUME_SCHEMA = Schema(
    "volume",
    ["CREATE TABLE volume (name TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID"],
)


class Volume(NamedTuple):
    """`created` in unix nanoseconds. `labels` and `options` are None where nobody gave any."""

    name: str
    created: int
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    driver: str = DRIVER

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})


class VolumeStore:
    """The volumes of one data root. Used from the event loop's thread, but for `size`."""

    def __init__(self, home: Home, database: Database, trash: Trash) -> None:
        self._root = home.volumes
        self._staging = home.staging
        self._database = database
        self._trash = trash
        self._volumes: dict[str, Volume] = {}
        os.makedirs(self._root, mode=0o700, exist_ok=True)

    def load(self) -> None:
        """Read the rows, and settle what an earlier engine left half made or half removed."""
        rows = self._database.read("SELECT record FROM volume")
        self._volumes = {one.name: one for one in (_volume(row["record"]) for row in rows)}
        for name in os.listdir(self._root):
            if name not in self._volumes:
                self._adopt(name)

    def _adopt(self, name: str) -> None:
        """A directory without a row. Nobody was told of it; but what is in it, somebody may have put there by hand."""
        try:
            with os.scandir(os.path.join(self._root, name, "_data")) as entries:
                empty = next(entries, None) is None
            check_volume_name(name)
        except (OSError, WardianError) as error:
            log.warning("%s is no volume, and left as it is: %s", os.path.join(self._root, name), error)
            return
        if empty:
            self._trash.discard(os.path.join(self._root, name))
        else:
            log.warning("volume %s had a directory and no record: it has one now", name)
            self._add(Volume(name, time.time_ns()), adds=False)

    def get(self, name: str) -> Volume | None:
        return self._volumes.get(name)

    def list(self) -> "list[Volume]":
        return list(self._volumes.values())

    def path(self, name: str) -> str:
        return os.path.join(self._root, name, "_data")

    def create(
        self,
        name: str,
        labels: Mapping[str, str] | None,
        options: Mapping[str, str] | None,
        owner: tuple[int, int] = (0, 0),
    ) -> Volume:
        """Raises INVALID for a name or options that cannot be. The name must be free."""
        assert name not in self._volumes, name
        check_volume_name(name)
        check_options(name, options or {})
        staged = self.stage()
        os.mkdir(os.path.join(staged, "_data"), 0o755)
        os.chmod(os.path.join(staged, "_data"), 0o755)
        os.chown(os.path.join(staged, "_data"), *owner)
        sync_directory(staged)
        try:
            os.rename(staged, os.path.join(self._root, name))
        except BaseException:
            self._trash.discard(staged)
            raise
        sync_directory(self._root)
        volume = Volume(name, time.time_ns(), _given(labels), _given(options))
        try:
            self._add(volume)
        except BaseException:
            self._trash.discard(os.path.join(self._root, name))
            raise
        return volume

    def _add(self, volume: Volume, adds: bool = True) -> None:
        with self._database.durable(adds) as db:
            text = msgspec.json.encode(volume._asdict()).decode()
            db.execute("INSERT INTO volume VALUES (?, ?, ?)", (volume.name, volume.created, text))
        self._volumes[volume.name] = volume

    def remove(self, name: str) -> None:
        """Its directory is out of sight when this returns, its blocks go later. Who asks knows that nobody uses it."""
        self._trash.discard(os.path.join(self._root, name))
        with self._database.durable() as db:
            db.execute("DELETE FROM volume WHERE name = ?", (name,))
        self._volumes.pop(name, None)

    def make_directory(self, name: str) -> None:
        """Somebody took it away behind our back: an empty one, as Docker has it."""
        if not os.path.isdir(self.path(name)):
            log.warning("volume %s: its directory was gone, and is made anew", name)
            os.makedirs(self.path(name), mode=0o755, exist_ok=True)

    def mount(self, name: str) -> Mount:
        """What a plan, or a view, makes of it."""
        return volume_mount(self.path(name), self._volumes[name].options or {})

    def would_mount(self, name: str, options: Mapping[str, str]) -> Mount:
        """The same of one that is not made yet."""
        return volume_mount(self.path(name), options)

    def size(self, name: str) -> int:
        """Bytes in its directory; what is mounted there in a container is not in it."""
        return tree_size(self.path(name))

    def stage(self) -> str:
        """A new directory in staging, on the file system of the volumes."""
        path = os.path.join(self._staging, f"volume.{secrets.token_hex(8)}")
        os.mkdir(path, 0o700)
        return path

    def unstage(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._trash.discard(path)


def _given(values: Mapping[str, str] | None) -> dict[str, str] | None:
    return dict(values) if values else None


def _volume(text: str) -> Volume:
    return Volume(**msgspec.json.decode(text))
