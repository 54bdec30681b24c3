"""Images as the API's calls want them: the image store's long ways in worker threads, events, and who uses an image."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

from wardian.engine.filters import Filters
from wardian.engine.parts import Parts
from wardian.engine.streaming import produced
from wardian.engine.volumes.image_mounts import mounted
from wardian.engine.workers import Emit, work
from wardian.errors import INVALID, WardianError
from wardian.images import (
    Image,
    ImageUse,
    Reference,
    RegistryAuth,
    Stop,
    auth_from_api,
    name_to_make,
    parse_reference,
    summary,
)

Bodies = list[dict[str, Any]]
Result = TypeVar("Result")

_CHUNK = 1 << 18


class Images:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.images
        self._removals: set[asyncio.Task[Any]] = set()

    async def pull(self, from_image: str, tag: str, platform: str, auth: Mapping[str, Any] | None, emit: Emit) -> None:
        """`tag` may be a digest, as docker's CLI sends it; without one, all tags that the registry has. Progress goes
        to `emit` in the event loop's thread."""
        credentials = auth_from_api(auth)
        if not tag and not _names_one(from_image):
            name = parse_reference(from_image)
            found = await work(lambda _: self._store.tags(name, credentials), lambda _: None, "wardian-tags")
            for one in found:
                await self._pull_one(from_image, f"{from_image}:{one}", platform, credentials, emit)
        else:
            await self._pull_one(from_image, _joined(from_image, tag), platform, credentials, emit)

    async def _pull_one(
        self, from_image: str, reference: str, platform: str, credentials: RegistryAuth | None, emit: Emit
    ) -> None:
        stop = Stop()

        def pull(progress: Emit) -> Image:
            return self._store.pull(reference, platform=platform, auth=credentials, progress=progress, stop=stop)

        image = await work(pull, emit, "wardian-pull", stop.set)
        self._publish("pull", reference, image.run_config.get("Labels"), from_image)

    def list(
        self,
        filters: Filters | None = None,
        all: bool = False,  # noqa: A002  (the API's word)
        shared_size: bool = False,
    ) -> Bodies:
        """Newest first. What only other images were made of is shown by `all`."""
        found = self._store.list_images(filters or {})
        if not all:
            parents = {image.parent for image in self._store.list_images()}
            found = [image for image in found if image.repo_tags or image.repo_digests or image.id not in parents]
        used = Counter(container.record.image for container in self._parts.registry)
        times = Counter(layer for image in self._store.list_images() for layer in set(image.layers))
        bodies = [summary(image, used[image.id]) for image in found]
        if shared_size:
            for image, body in zip(found, bodies, strict=True):
                body["SharedSize"] = self._store.size([layer for layer in set(image.layers) if times[layer] > 1])
        return bodies

    def inspect(self, ref: str, platform: str = "") -> dict[str, Any]:
        return self._store.inspect(ref, platform)

    def history(self, ref: str, platform: str = "") -> Bodies:
        return self._store.history(ref, platform)

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        async with self._parts.images_settled:
            image = self._store.tag(ref, f"{repo}:{tag}" if tag else repo)
        self._publish("tag", image.id, image.run_config.get("Labels"), f"{repo}:{tag or 'latest'}")

    async def remove(self, ref: str, force: bool = False, noprune: bool = False, platform: str = "") -> Bodies:
        """With a `platform`, only an image that is for it: each here is for one."""
        # a client that leaves must not let go of the lock before the thread ends
        return await asyncio.shield(self._kept(self._remove(ref, force, noprune, platform)))

    def _kept(self, job: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """A task that the loop does not forget while it runs."""
        task = asyncio.create_task(job)
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)
        return task

    async def _remove(self, ref: str, force: bool, noprune: bool, platform: str) -> Bodies:
        async with self._parts.images_settled:
            if platform:
                self._store.resolve(ref, platform)
            answer = await self._remove_in_thread(ref, force, noprune)
        self._tell_removed(answer)
        return answer

    def _tell_removed(self, answer: Sequence[Mapping[str, str]]) -> None:
        for line in answer:
            for action, subject in line.items():
                if action == "Untagged" or subject.startswith("sha256:"):
                    self._publish("untag" if action == "Untagged" else "delete", subject, None, subject)

    async def _remove_in_thread(self, ref: str, force: bool, noprune: bool) -> Bodies:
        """It syncs, and moves layers that may be many."""
        uses, layers = self._needed()

        def remove(_: Emit) -> Bodies:
            return [dict(line) for line in self._store.remove(ref, uses, layers, force=force, noprune=noprune)]

        return await work(remove, lambda _: None, "wardian-rmi")

    def _needed(self) -> tuple[Sequence[ImageUse], set[str]]:
        """Which images and layers containers need."""
        registry = self._parts.registry
        uses = [ImageUse(container.id, container.record.image, container.state.live) for container in registry]
        layers = {layer for container in registry for layer in container.record.layers}
        for container in registry:
            for point in mounted(container):
                uses.append(ImageUse(container.id, point["image"], container.state.live))
                layers.update(point["layers"])
        return uses, layers

    async def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        return await asyncio.shield(self._kept(self._prune(filters or {})))

    async def _prune(self, filters: Filters) -> dict[str, Any]:
        async with self._parts.images_settled:
            uses, layers = self._needed()
            answer, freed = await work(
                lambda _: self._store.prune(filters, uses, layers), lambda _: None, "wardian-prune"
            )
        self._tell_removed(answer)
        self._parts.events.publish("image", "prune", "", {"reclaimed": str(freed)})
        return {"ImagesDeleted": answer or None, "SpaceReclaimed": freed}

    async def load(self, file: BinaryIO, emit: Emit, platform: str = "") -> None:
        chunks = _chunks(file)
        images = await work(lambda tell: self._store.load(chunks, tell, platform=platform), emit, "wardian-load")
        for image in images:
            self._publish("load", image.id, image.run_config.get("Labels"), image.id)

    async def save(self, names: Sequence[str], platform: str) -> AsyncIterator[bytes]:
        """The archive of what the names mean now. Raises NOT_FOUND before the first piece."""
        images, pieces = self._store.save(names, platform=platform)
        for image in images:
            self._publish("save", image.id, image.run_config.get("Labels"), image.id)
        return produced(lambda: pieces, "wardian-save")

    def to_push(self, name: str, tag: str) -> Reference:
        """What a push asks for. Raises INVALID: that is told before anything is streamed."""
        reference = parse_reference(f"{name}:{tag}" if tag else name)
        if reference.digest:
            raise WardianError(INVALID, "cannot push a digest reference", operation="push", subject=name)
        return reference

    async def push(self, reference: Reference, platform: str, auth: Mapping[str, Any] | None, emit: Emit) -> None:
        """A tag, or all tags of the repository."""
        credentials = auth_from_api(auth)
        stop = Stop()

        def push(progress: Emit) -> list[tuple[str, Image]]:
            return self._store.push(reference, platform=platform, auth=credentials, progress=progress, stop=stop)

        for pushed, image in await work(push, emit, "wardian-push", stop.set):
            whole = reference._replace(tag=pushed).familiar
            self._publish("push", whole, image.run_config.get("Labels"), reference.familiar_name)

    async def import_(
        self, file: BinaryIO, repo: str, tag: str, message: str, changes: Sequence[str], platform: str, emit: Emit
    ) -> None:
        reference = name_to_make(repo, tag)

        def bring(progress: Emit) -> Image:
            return self._store.import_image(
                _chunks(file), reference, changes=changes, message=message, platform=platform
            )

        image = await work(bring, emit, "wardian-import")
        emit({"status": image.id})
        self._publish("import", image.id, None, reference or image.id)

    def _publish(self, action: str, identity: str, labels: Mapping[str, str] | None, name: str) -> None:
        self._parts.events.publish("image", action, identity, {**(labels or {}), "name": name})


def _names_one(name: str) -> bool:
    """Whether a reference has its tag or digest with it."""
    return ":" in name.rpartition("/")[2] or "@" in name


def _joined(name: str, tag: str) -> str:
    """docker's CLI splits a reference: the tag, or the digest, comes as `tag`."""
    if not tag:
        return name
    return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file, for a thread: by a descriptor of its own, since the caller may be gone and close its file."""
    own = os.fdopen(os.dup(file.fileno()), "rb", buffering=0)

    def pieces() -> Iterator[bytes]:
        with own:
            while data := own.read(_CHUNK):
                yield data

    return pieces()
