"""Filters of `GET /images/json` over images in memory."""

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence

from wardian.errors import INVALID, WardianError
from wardian.images.image import Image
from wardian.images.reference import parse_reference
from wardian.moments import unix_moment

Filters = Mapping[str, Collection[str]]
_Find = Callable[[str], Image]


def filtered(images: Sequence[Image], filters: Filters, find: _Find) -> list[Image]:
    """Images that pass every filter, newest first. `find` resolves a name (`before`, `since`). Raises INVALID."""
    chosen = list(images)
    for key, values in filters.items():
        apply = _FILTERS.get(key)
        if apply is None:
            raise WardianError(INVALID, f"invalid filter '{key}'", operation="list images", subject=key)
        if values:
            chosen = [image for image in chosen if apply(image, list(values), find)]
    if "reference" in filters:
        chosen = [_only_matching(image, filters["reference"]) for image in chosen]
    return sorted(chosen, key=lambda image: image.created_unix, reverse=True)


def is_dangling(image: Image) -> bool:
    return not image.repo_tags


def matches_reference(pattern: str, familiar: str) -> bool:
    """Go's path.Match on the name, with and without its tag; `*` does not pass a slash."""
    reference = parse_reference(familiar)
    names = {reference.familiar, reference.familiar_name, str(reference), reference.name}
    return any(_path_match(name, pattern) for name in names)


def _path_match(name: str, pattern: str) -> bool:
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


def _only_matching(image: Image, patterns: Collection[str]) -> Image:
    """Docker lists only the names that the pattern asked for."""

    def wanted(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if any(matches_reference(pattern, name) for pattern in patterns))

    return image._replace(repo_tags=wanted(image.repo_tags), repo_digests=wanted(image.repo_digests))


def _dangling(image: Image, values: list[str], find: _Find) -> bool:
    wanted = {value.lower() for value in values}
    if not wanted <= {"true", "1", "false", "0"}:
        raise WardianError(INVALID, f"invalid filter 'dangling=[{' '.join(values)}]'", operation="list images")
    # As Docker's: an image known by a digest alone is listed by either.
    return is_dangling(image) if wanted & {"true", "1"} else not is_dangling(image) or bool(image.repo_digests)


def _reference(image: Image, values: list[str], find: _Find) -> bool:
    names = (*image.repo_tags, *image.repo_digests)
    return any(matches_reference(pattern, name) for pattern in values for name in names)


def _label(image: Image, values: list[str], find: _Find) -> bool:
    labels = image.run_config.get("Labels") or {}

    def has(wanted: str) -> bool:
        key, equals, value = wanted.partition("=")
        return key in labels and (not equals or labels[key] == value)

    return all(has(value) for value in values)


def _before(image: Image, values: list[str], find: _Find) -> bool:
    return all(image.created_unix < find(value).created_unix for value in values)


def _since(image: Image, values: list[str], find: _Find) -> bool:
    return all(image.created_unix > find(value).created_unix for value in values)


def _until(image: Image, values: list[str], find: _Find) -> bool:
    return all(image.created_unix < _moment(value) for value in values)


def _moment(text: str) -> float:
    """Unix seconds of a moment. Raises INVALID."""
    found = unix_moment(text)
    if found is None:
        raise WardianError(
            INVALID, f"invalid filter 'until={text}': neither time nor duration", operation="list images"
        )
    return found


_FILTERS: dict[str, Callable[[Image, list[str], _Find], bool]] = {
    "before": _before,
    "dangling": _dangling,
    "label": _label,
    "reference": _reference,
    "since": _since,
    "until": _until,
}
