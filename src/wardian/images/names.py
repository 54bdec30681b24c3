"""What people call an image, looked up in a snapshot: a tag, a repository's digest, an id or its beginning. Pure."""

import re

from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.images.image import Image
from wardian.images.records import Snapshot
from wardian.images.reference import Reference, parse_reference

_IDENTIFIER = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})", re.ASCII)


def find(snapshot: Snapshot, text: str) -> Image:
    """Raises in Docker's words: NOT_FOUND, INVALID for what can be none."""
    image = _named(snapshot, text) or _by_id(snapshot, text)
    if image is None:
        if not _IDENTIFIER.fullmatch(text):
            parse_reference(text)
        raise WardianError(NOT_FOUND, f"No such image: {shown(text)}", operation="find image", subject=shown(text))
    return image


def _named(snapshot: Snapshot, text: str) -> Image | None:
    name = name_in(snapshot, text)
    if name is None:
        return None
    key = snapshot.digests.get(str(name)) if name.digest else snapshot.tags.get(str(name))
    return snapshot.images.get(key) if key else None


def name_in(snapshot: Snapshot, text: str) -> Reference | None:
    """The tag or repository digest that `text` is, when there is one of that name."""
    try:
        name = parse_reference(text).with_default_tag()
    except WardianError:
        return None
    if name.digest:
        name = name._replace(tag="")
    return name if str(name) in (snapshot.digests if name.digest else snapshot.tags) else None


def _by_id(snapshot: Snapshot, text: str) -> Image | None:
    match = _IDENTIFIER.fullmatch(text)
    if match is None:
        return None
    exact = snapshot.images.get(f"sha256:{match[1]}")
    if exact is not None:
        return exact
    found = [image for key, image in snapshot.images.items() if key.startswith(f"sha256:{match[1]}")]
    if len(found) > 1:
        raise WardianError(INVALID, f"Multiple IDs found with provided prefix: {text}", subject=text)
    return found[0] if found else None


def shown(text: str) -> str:
    """As Docker's messages name it."""
    try:
        return parse_reference(text).with_default_tag().familiar
    except WardianError:
        return text


def tagged(text: str) -> Reference:
    """What an image may be called from now on. Raises INVALID."""
    reference = parse_reference(text).with_default_tag()
    if reference.digest:
        raise WardianError(INVALID, "refusing to create a tag with a digest reference", subject=text)
    return reference
