"""Which images `prune` takes, as Docker decides it (moby, daemon/images/image_prune.go). Pure."""

from collections.abc import Collection, Iterable, Mapping

from wardian.errors import INVALID, WardianError
from wardian.images.image import Image
from wardian.moments import unix_moment

Filters = Mapping[str, Collection[str]]
_KNOWN = ("dangling", "label", "label!", "until")
_TRUE, _FALSE = ("1", "true", "t"), ("0", "false", "f")


def prunable(images: Iterable[Image], filters: Filters) -> list[Image]:
    """Those that the filters ask for; whether a container needs one is not looked at. Raises INVALID."""
    for key in filters:
        if key not in _KNOWN:
            raise WardianError(INVALID, f"invalid filter '{key}'", operation="prune images", subject=key)
    dangling, before = _dangling(filters), _until(filters)
    every = list(images)
    parents = {image.parent for image in every}
    return [
        image
        for image in every
        if not (dangling and image.repo_tags)
        and not (image.id in parents and not image.repo_tags and not image.repo_digests)
        and (before is None or image.created_unix < before)
        and _labelled(image.run_config.get("Labels") or {}, filters)
    ]


def _dangling(filters: Filters) -> bool:
    values = [value.lower() for value in filters.get("dangling", ())]
    for value in values:
        if value not in _TRUE + _FALSE:
            message = f"invalid filter 'dangling=[{' '.join(filters['dangling'])}]'"
            raise WardianError(INVALID, message, operation="prune images", subject="dangling")
    return not values or values[0] in _TRUE


def _until(filters: Filters) -> float | None:
    values = list(filters.get("until", ()))
    if not values:
        return None
    if len(values) > 1:
        raise WardianError(INVALID, "more than one until filter specified", operation="prune images")
    found = unix_moment(values[0])
    if found is None:
        message = f'failed to parse value as time or duration: "{values[0]}"'
        raise WardianError(INVALID, message, operation="prune images", subject="until")
    return found


def _labelled(labels: Mapping[str, str], filters: Filters) -> bool:
    def has(wanted: str) -> bool:
        key, equals, value = wanted.partition("=")
        return key in labels and (not equals or labels[key] == value)

    refused = list(filters.get("label!", ()))
    return all(map(has, filters.get("label", ()))) and not (refused and all(map(has, refused)))
