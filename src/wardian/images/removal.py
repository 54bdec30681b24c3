"""Which names and which image a removal takes, as Docker decides it (moby, daemon/images/image_delete.go)."""

from collections.abc import Sequence
from typing import NamedTuple

from wardian.errors import CONFLICT, WardianError
from wardian.images.image import Image
from wardian.images.reference import Reference, parse_reference


class ImageUse(NamedTuple):
    """A container that needs an image."""

    container_id: str
    image_id: str
    running: bool


class Removal(NamedTuple):
    """What to take away: tags and repository digests (in full), and the image itself or not."""

    names: tuple[Reference, ...]
    deletes: bool


def decide(
    image: Image, name: Reference | None, uses: Sequence[ImageUse], force: bool, has_children: bool = False
) -> Removal:
    """`name` is the tag or digest that was given, None when the image was named by its id. Raises CONFLICT.

    `has_children`: a commit was made of it, which is here."""
    tags = [parse_reference(tag) for tag in image.repo_tags]
    digests = [parse_reference(digest) for digest in image.repo_digests]
    mine = [use for use in uses if use.image_id == image.id]
    if name is None:
        if has_children:
            raise _conflict(image, "cannot be forced", "image has dependent child images")
        return _by_id(image, tags, digests, mine, force)
    rest = [one for one in (*tags, *digests) if one != name and not (name.tag and _follows(one, name, tags))]
    removed = tuple(one for one in (*tags, *digests) if one not in rest)
    if any(one.tag for one in rest) or (name.digest and rest):
        return Removal(removed, deletes=False)
    _refuse_last_name(image, name, mine, force)
    return Removal(removed, deletes=not mine and not has_children)


def _by_id(
    image: Image, tags: list[Reference], digests: list[Reference], uses: Sequence[ImageUse], force: bool
) -> Removal:
    if len({tag.name for tag in tags}) > 1 and not force:
        raise _conflict(image, "must be forced", "image is referenced in multiple repositories")
    _refuse_use(image, uses, force)
    return Removal((*tags, *digests), deletes=True)


def _follows(one: Reference, name: Reference, tags: list[Reference]) -> bool:
    """Whether a digest goes with the tag `name`: it does with the last tag of its repository."""
    return bool(one.digest) and one.name == name.name and sum(tag.name == name.name for tag in tags) == 1


def _refuse_use(image: Image, uses: Sequence[ImageUse], force: bool) -> None:
    for use in sorted(uses, key=lambda use: not use.running):
        short = use.container_id[:12]
        if use.running:
            raise _conflict(image, "cannot be forced", f"image is being used by running container {short}")
        if not force:
            raise _conflict(image, "must be forced", f"image is being used by stopped container {short}")


def _refuse_last_name(image: Image, name: Reference, uses: Sequence[ImageUse], force: bool) -> None:
    if uses and not force:
        raise WardianError(
            CONFLICT,
            f'conflict: unable to remove repository reference "{name.familiar}" (must force) - '
            f"container {uses[0].container_id[:12]} is using its referenced image {_short(image)}",
            operation="remove image",
            subject=name.familiar,
        )


def _conflict(image: Image, mend: str, reason: str) -> WardianError:
    message = f"conflict: unable to delete {_short(image)} ({mend}) - {reason}"
    return WardianError(CONFLICT, message, operation="remove image", subject=image.id)


def _short(image: Image) -> str:
    return image.id.partition(":")[2][:12]
