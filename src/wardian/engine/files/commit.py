"""POST /commit: an image of what a container changed, and of how it runs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NamedTuple

from wardian.engine.files.calls import Files
from wardian.engine.files.roots import rootfs_of
from wardian.engine.options.table import ROWS
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.workers import work
from wardian.errors import CONFLICT, NOT_FOUND, WardianError
from wardian.images import Commit, Image, apply_changes, name_to_make

# What of a container's configuration is an image's (OCI image-spec, config.md, and Docker's own additions)
_KEPT = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Healthcheck", "ArgsEscaped", "Volumes", "WorkingDir",
    "OnBuild", "Labels", "StopSignal", "Shell",
)  # fmt: skip
_MERGED = ("ExposedPorts", "Labels", "Volumes")

Still = Callable[[Container], AbstractAsyncContextManager[None]]


class Asked(NamedTuple):
    """`config` is a run configuration in place of the container's, which then only fills its gaps."""

    container: str
    repo: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: Sequence[str] = ()
    config: Mapping[str, Any] | None = None


class Commits:
    """`still`: nothing of a container runs meanwhile, so that its files are those of one moment."""

    def __init__(self, parts: Parts, files: Files, still: Still) -> None:
        self._parts = parts
        self._files = files
        self._still = still

    async def commit(self, asked: Asked) -> dict[str, str]:
        parts = self._parts
        container = parts.registry.find(asked.container)
        if rootfs_of(container.config) is not None:  # in Podman's words
            message = "cannot commit a container that uses an exploded rootfs"
            raise WardianError(CONFLICT, message, operation="commit", subject=container.id, hint="export, then import")
        parent = parts.images.get(container.record.image)
        if parent is None:
            message = f"No such image: {container.record.image}"
            hint = "the container's image was removed: what it changed cannot be added to it"
            raise WardianError(NOT_FOUND, message, operation="commit", subject=container.id, hint=hint)
        _check(asked.config or {})
        run_config = apply_changes(merged(asked.config or {}, run_config_of(container)), asked.changes)
        made_by = " ".join(_command(container))
        record = container.record
        said = Commit(run_config, asked.author, asked.comment, made_by, record.id, record.image_ref)
        reference = name_to_make(asked.repo, asked.tag)

        def make(_: object) -> Image:
            return parts.images.commit(self._files.layer(container), parent, said, reference)

        async with self._still(container) if asked.pause else nullcontext():
            image = await work(make, lambda _: None, "wardian-commit")
        attributes = {"comment": asked.comment, "imageID": image.id, "imageRef": reference}
        parts.events.publish("container", "commit", container.id, container.event_attributes() | attributes)
        return {"Id": image.id}


def run_config_of(container: Container) -> dict[str, Any]:
    found = container.config.api_config()
    return {key: found[key] for key in _KEPT if found.get(key)}


def _check(asked: Mapping[str, Any]) -> None:
    """As create checks the same fields. Raises INVALID, naming one: an image with another type in it would break every
    list that it is in."""
    for key in _KEPT:
        if asked.get(key) is not None and key in ROWS:
            ROWS[key].check(asked[key], key)


def merged(asked: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for, its gaps filled from the container. A new Entrypoint takes no old Cmd."""
    config = {key: value for key, value in asked.items() if key in _KEPT and value}
    for key, value in own.items():
        if key in _MERGED:
            config[key] = {**value, **(config.get(key) or {})}
        elif key == "Env":
            known = {one.partition("=")[0] for one in config.get("Env") or ()}
            config["Env"] = [
                *(config.get("Env") or ()),
                *(one for one in value if one.partition("=")[0] not in known),
            ]
        elif key not in config and not (key == "Cmd" and asked.get("Entrypoint")):
            config[key] = value
    return config


def _command(container: Container) -> list[str]:
    return [str(word) for word in container.config.command()]
