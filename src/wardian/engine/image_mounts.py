"""`--mount type=image`: an image's files, read-only, at a place of the container (Docker 28; API 1.48).

The image is settled when the container is created, as the container's own is, and stays as long as the container does.
Nothing is written: the overlay has no upper directory.
"""

from wardian.engine.config import ContainerConfig
from wardian.engine.options import HOST, POINTS
from wardian.engine.parts import Parts
from wardian.engine.points import Point, place
from wardian.engine.registry import Container
from wardian.errors import INVALID, WardianError


def image_points(parts: Parts, config: ContainerConfig) -> list[Point]:
    """Raises WardianError for an image that is not here."""
    found = []
    for item in config[HOST + "Mounts"]:
        if item["Type"] != "image":
            continue
        image = parts.images.resolve(item["Source"])
        lowers = parts.layers.lowers(image.layers)
        found.append(
            {
                "Type": "image",
                "Name": item["Source"],
                "Source": image.id,
                "Destination": place(item["Target"]),
                "Mode": "",
                "RW": False,
                "Propagation": "rprivate",
                "anonymous": False,
                "subpath": (item.get("ImageOptions") or {}).get("Subpath") or "",
                "image": image.id,
                "layers": list(image.layers),
                # overlayfs wants two directories where none is written
                "lowers": [*lowers, parts.layers.empty] if len(lowers) < 2 else list(lowers),
                "mapped": parts.home.layers,
            }
        )
    return found


def mounted(container: Container) -> list[Point]:
    """The images that a container mounts, its own aside."""
    return [point for point in container.config[POINTS] if point["Type"] == "image"]


def refuse_removed(parts: Parts, points: list[Point]) -> None:
    """One of them may have been removed while the create waited."""
    for point in points:
        if point["Type"] == "image" and parts.images.get(point["image"]) is None:
            message = f"No such image: {point['Name']}"
            raise WardianError(INVALID, message, operation="create", subject=point["Name"])
