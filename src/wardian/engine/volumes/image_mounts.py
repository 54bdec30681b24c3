"""`--mount type=image`: an image's files, read-only, at a place of the container (Docker 28; API 1.48).

The image is settled when the container is created, as the container's own is, and stays as long as the container does.
Nothing is written: the overlay has no upper directory.
"""

import contextlib

from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST, POINTS
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.volumes.points import Point, place
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel.mounts import Mount
from wardian.storage import Tree, close_trees, open_layers


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


def image_trees(parts: Parts, container: Container, userns: int) -> list[Tree]:
    """What a container that does not run would see of them; of one with a user namespace by its ids. Raises
    WardianError(NOT_IMPLEMENTED) where the kernel cannot show a part of one."""
    found: list[Tree] = []
    try:
        for point in mounted(container):
            if point["subpath"] and not parts.host.kernel_at_least(6, 15):
                message = f"a part of image {point['Name']} in a container that does not run needs Linux 6.15"
                hint = "start the container first"
                raise WardianError(NOT_IMPLEMENTED, message, operation="view", subject=container.id, hint=hint)
            mapped = point["mapped"] if userns >= 0 else ""
            overlay = Mount("overlay", lowers=tuple(point["lowers"]), mapped=mapped)
            with contextlib.suppress(FileNotFoundError):  # a part that the image does not have
                found.append(open_layers(overlay, point["Destination"], point["subpath"], userns))
    except BaseException:
        close_trees(found)
        raise
    return found


def refuse_removed(parts: Parts, points: list[Point]) -> None:
    """One of them may have been removed while the create waited."""
    for point in points:
        if point["Type"] == "image" and parts.images.get(point["image"]) is None:
            message = f"No such image: {point['Name']}"
            raise WardianError(INVALID, message, operation="create", subject=point["Name"])
