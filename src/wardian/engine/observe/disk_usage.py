"""`docker system df`: what images, containers, volumes and builds take on disk. Walks trees: called in a thread."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from wardian.engine.parts import Parts
from wardian.engine.reading import Reading
from wardian.engine.volumes.calls import Volumes
from wardian.errors import INVALID, WardianError
from wardian.images import summary

KINDS = ("container", "image", "volume", "build-cache")
Bodies = list[dict[str, Any]]


def disk_usage(parts: Parts, kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Of these kinds of things (none: of all); the others are null. Raises WardianError(INVALID) for an unknown one."""
    for kind in kinds:
        if kind not in KINDS:
            raise WardianError(INVALID, f"unknown object type: {kind}", operation="disk usage", subject=kind)
    wanted = kinds or KINDS

    def of(kind: str, count: Callable[[Parts], Bodies]) -> Bodies | None:
        return count(parts) if kind in wanted else None

    return {
        "LayersSize": _layers_size(parts) if "image" in wanted else 0,
        "Images": of("image", _images),
        "Containers": of("container", _containers),
        "Volumes": of("volume", _volumes),
        "BuildCache": of("build-cache", _builds),
    }


def _layers_size(parts: Parts) -> int:
    layers = {layer for image in parts.images.list_images() for layer in image.layers}
    return sum(parts.layers.facts(layer).size for layer in layers)


def _images(parts: Parts) -> Bodies:
    """`SharedSize` is what is in layers that another image has too."""
    images = parts.images.list_images()
    users = Counter(container.record.image for container in parts.registry)
    times = Counter(layer for image in images for layer in set(image.layers))
    found = []
    for image in images:
        shared = sum(parts.layers.facts(layer).size for layer in set(image.layers) if times[layer] > 1)
        found.append(summary(image, users[image.id]) | {"SharedSize": shared})
    return found


def _containers(parts: Parts) -> Bodies:
    """Docker leaves out what is 0."""
    listed = Reading(parts).list(True, 0, True, {})
    return [
        {key: value for key, value in one.items() if key not in ("SizeRw", "SizeRootFs") or value} for one in listed
    ]


def _volumes(parts: Parts) -> Bodies:
    return Volumes(parts).usage()


def _builds(parts: Parts) -> Bodies:
    """Nothing is built yet, so nothing is kept of it."""
    return []
