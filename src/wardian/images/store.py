"""The images of one engine, as the rest of it uses them. Reads are lookups in a snapshot; what writes says so.

What takes long (`pull`, `load`, `import_image`, `make_hello`, `remove`) blocks and belongs into a worker thread; the
rest takes microseconds, or one durable transaction (`tag`), and may run on the event loop.
"""

import contextlib
import errno
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from wardian.database import DISK_FULL
from wardian.errors import CONFLICT, NOT_FOUND, SYSTEM, WardianError
from wardian.home import Home
from wardian.images import describe
from wardian.images.auth import RegistryAuth
from wardian.images.committed import Commit, commit
from wardian.images.content import ContentStore
from wardian.images.image import Image
from wardian.images.listing import Filters, filtered
from wardian.images.names import find, name_in, shown, tagged
from wardian.images.platforms import matches, parse_platform, platform_of
from wardian.images.progress import Progress, Reporter, Stop, silent
from wardian.images.pruning import prunable
from wardian.images.records import ImageRecords, Snapshot
from wardian.images.reference import Reference, parse_reference
from wardian.images.removal import ImageUse, decide
from wardian.storage import LayerStore


class ImageStore:
    """Opens its own connections to the state file: pulls write to it from their threads. `close` ends them."""

    def __init__(self, home: Home, layers: LayerStore) -> None:
        self._home = home
        self._layers = layers
        self._content = ContentStore(home)
        self._records = ImageRecords(home, self._content)
        self._pulls: dict[str, threading.Lock] = {}
        self._pulls_lock = threading.Lock()
        self._under_way: set[Stop] = set()

    def close(self) -> None:
        for stop in tuple(self._under_way):
            stop.set()
        self._records.close()

    def resolve(self, name_or_id: str, platform: str = "") -> Image:
        """The image that a name, a digest, an id or the beginning of one means. Raises in Docker's words: NOT_FOUND,
        INVALID for what can be none."""
        image = find(self._records.snapshot, name_or_id)
        if platform:
            wanted, actual = parse_platform(platform), platform_of(image.config)
            if not matches(wanted, actual):
                from wardian.images.pull import wrong_platform

                raise wrong_platform(shown(name_or_id), wanted, actual)
        return image

    @property
    def state(self) -> object:
        """Another object after every change of images or their names; what was resolved holds for as long as it is."""
        return self._records.snapshot

    def get(self, image_id: str) -> Image | None:
        """The image with exactly this id."""
        return self._records.snapshot.images.get(image_id)

    def list_images(self, filters: Filters | None = None) -> list[Image]:
        """All images that pass `filters`, newest first. Raises INVALID for an unknown filter."""
        return filtered(list(self._records.snapshot.images.values()), filters or {}, self.resolve)

    def size(self, layer_ids: Iterable[str]) -> int:
        """Bytes in the files of these layers."""
        return sum(self._layers.facts(layer).size for layer in layer_ids)

    def inspect(self, name_or_id: str, platform: str = "") -> dict[str, Any]:
        """GET /images/{name}/json."""
        return describe.inspect(self.resolve(name_or_id, platform), self._layers)

    def history(self, name_or_id: str, platform: str = "") -> list[dict[str, Any]]:
        """GET /images/{name}/history."""
        return describe.history(self.resolve(name_or_id, platform), self._layers)

    def pull(
        self,
        reference: str | Reference,
        *,
        platform: str = "",
        auth: RegistryAuth | None = None,
        progress: Progress = silent,
        stop: Stop | None = None,
    ) -> Image:
        """Bring an image here from its registry (worker thread). Two pulls of one reference go one after the other."""
        from wardian.images import pull  # urllib3 comes with it: 60 ms and 14 MB that an engine may never need

        parsed = parse_reference(reference) if isinstance(reference, str) else reference
        parsed = parsed.with_default_tag()
        report = Reporter(progress, stop)
        with self._stoppable(report.stopped), self._alone(str(parsed)), self._said_clearly(f"pull {parsed.familiar}"):
            return pull.pull(parsed, self._records, self._layers, report, platform=platform, auth=auth)

    def tags(self, reference: Reference, auth: RegistryAuth | None = None) -> list[str]:
        """Those that its registry has (worker thread)."""
        from wardian.images.registry import RegistryClient
        from wardian.images.tags import list_tags

        client = RegistryClient(reference, auth)
        with contextlib.closing(client), self._said_clearly(f"pull {reference.familiar_name}"):
            return list_tags(client, reference)

    def load(self, chunks: Iterable[bytes], progress: Progress = silent, *, platform: str = "") -> list[Image]:
        """Bring the images of an archive here (worker thread): docker save's or an OCI layout, gzip and zstd too."""
        from wardian.images import archives

        with self._said_clearly("load"):
            report = Reporter(progress)
            return archives.load(chunks, self._home, self._records, self._layers, report, platform=platform)

    def import_image(
        self,
        chunks: Iterable[bytes],
        reference: str = "",
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> Image:
        """Make an image of one layer out of a root's archive (worker thread)."""
        from wardian.images import made

        name = tagged(reference) if reference else None
        with self._said_clearly("import"):
            return made.import_root(
                chunks, name, self._records, self._layers, changes=changes, message=message, platform=platform
            )

    def save(self, names: Sequence[str], *, platform: str = "") -> tuple[list[Image], Iterator[bytes]]:
        """Images, and the archive of them for `load` here and in Docker. Raises NOT_FOUND at once, reads as it goes."""
        from wardian.images import save

        chosen = save.choose(names, self._records.snapshot, self.resolve)
        for image, _ in chosen:
            self.resolve(image.id, platform)
        return [one.image for one in chosen], save.save(chosen, self._content, self._layers)

    def push(
        self,
        reference: Reference,
        *,
        platform: str = "",
        auth: RegistryAuth | None = None,
        progress: Progress = silent,
        stop: Stop | None = None,
    ) -> list[tuple[str, Image]]:
        """Bring the image of a tag to its registry, or of all tags of a repository (worker thread)."""
        from wardian.images import push

        report = Reporter(progress, stop)
        with self._stoppable(report.stopped), self._said_clearly(f"push {reference.familiar}"):
            return push.push(
                reference, self._records, self._layers, self._content, report, platform=platform, auth=auth
            )

    def commit(self, chunks: Iterable[bytes], parent: Image, said: Commit, reference: str = "") -> Image:
        """Make an image of `parent` and one layer more, from its archive (worker thread)."""
        name = tagged(reference) if reference else None
        with self._said_clearly("commit"):
            return commit(chunks, parent, said, name, self._records, self._layers)

    def make_hello(self, launcher: str) -> Image:
        """Make `wardian/hello:latest` from the launcher's static binary (worker thread; some 10 ms)."""
        from wardian.images import made

        with self._said_clearly("make image"):
            return made.make_hello(launcher, self._records, self._layers)

    def tag(self, name_or_id: str, reference: str) -> Image:
        """Let `reference` mean the image too; returns the image as it is then. Durable when it returns."""
        return self._records.tag(self.resolve(name_or_id).id, tagged(reference))

    def remove(
        self,
        name_or_id: str,
        uses: Sequence[ImageUse] = (),
        layers_in_use: Collection[str] = (),
        *,
        force: bool = False,
        noprune: bool = False,
    ) -> list[dict[str, str]]:
        """Remove a name, and the image with its last one: DELETE /images/{name}'s body. Raises NOT_FOUND, CONFLICT.

        Layers that no image and no container (`layers_in_use`) has any more are gone from their place when it returns.
        """
        image = self.resolve(name_or_id)
        snapshot = self._records.snapshot
        removal = decide(image, name_in(snapshot, name_or_id), uses, force, _has_children(snapshot, image))
        self._records.forget(removal.names, image.id if removal.deletes else "")
        answer = [{"Untagged": name.familiar} for name in removal.names]
        if removal.deletes:
            answer.append({"Deleted": image.id})
            if not noprune:
                answer += [{"Deleted": parent} for parent in self._remove_parents(image, uses)]
            self._records.sweep_blobs()
            answer += [{"Deleted": f"sha256:{layer}"} for layer in self.collect_layers(layers_in_use)]
        return answer

    def _remove_parents(self, image: Image, uses: Sequence[ImageUse]) -> Iterator[str]:
        """Those that it was made of and that nothing names or needs any more."""
        needed = {use.image_id for use in uses}
        while parent := self._records.snapshot.images.get(image.parent):
            named = parent.repo_tags or parent.repo_digests
            if named or parent.id in needed or _has_children(self._records.snapshot, parent):
                return
            self._records.forget((), parent.id)
            yield parent.id
            image = parent

    def prune(
        self, filters: Filters, uses: Sequence[ImageUse] = (), layers_in_use: Collection[str] = ()
    ) -> tuple[list[dict[str, str]], int]:
        """Remove what no container needs: POST /images/prune's ImagesDeleted, and the bytes that it freed."""
        answer: list[dict[str, str]] = []
        freed = 0
        for image in prunable(self._records.snapshot.images.values(), filters):
            sizes = {f"sha256:{layer}": self._layers.facts(layer).size for layer in image.layers}
            for name in (*image.repo_tags, *image.repo_digests) or (image.id,):
                if self._records.snapshot.images.get(image.id) is None:
                    break  # its last tag took its digests along
                try:
                    removed = self.remove(name, uses, layers_in_use)
                except WardianError as error:
                    if error.kind not in (CONFLICT, NOT_FOUND):
                        raise
                    continue
                answer += removed
                freed += sum(sizes.get(line.get("Deleted", ""), 0) for line in removed)
        return answer, freed

    def collect_layers(self, in_use: Collection[str]) -> list[str]:
        """Remove every layer that no image has, no container (`in_use`) and no pull on its way; returns their ids."""
        roots = set(in_use)
        for image in self._records.snapshot.images.values():
            roots.update(image.layers)
        return self._layers.collect(roots)

    @contextmanager
    def _stoppable(self, stop: Stop) -> Iterator[None]:
        """The store's end is the operation's too."""
        self._under_way.add(stop)
        try:
            yield
        finally:
            self._under_way.discard(stop)

    @contextmanager
    def _said_clearly(self, operation: str) -> Iterator[None]:
        """The disk's own errors as ours: full above all. What was staged is discarded by whoever staged it."""
        try:
            yield
        except WardianError as error:
            if error.operation != DISK_FULL:
                raise
            raise self._disk_error(operation, error.message, error.errno) from error
        except sqlite3.OperationalError as error:
            raise self._disk_error(operation, str(error), errno.EIO) from error
        except OSError as error:
            raise self._disk_error(operation, error.strerror or str(error), error.errno or errno.EIO) from error

    def _disk_error(self, operation: str, text: str, number: int) -> WardianError:
        if number in (errno.ENOSPC, errno.EDQUOT):
            hint = f"nothing of the image was kept; free some space below {self._home.data_root}"
            message = f"{operation}: no space left on device: {self._home.data_root}"
            return WardianError(SYSTEM, message, operation=operation, errno=number, hint=hint)
        return WardianError(SYSTEM, f"{operation}: {text}", operation=operation, errno=number)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        with self._pulls_lock:
            lock = self._pulls.setdefault(key, threading.Lock())
        with lock:
            yield


def _has_children(snapshot: Snapshot, image: Image) -> bool:
    return any(one.parent == image.id for one in snapshot.images.values())
