"""Images as the Docker Engine API 1.51 shows them: bodies of list, inspect and history."""

import datetime
from collections.abc import Mapping
from typing import Any

from wardian.images.image import Image, unix_seconds
from wardian.storage import LayerStore

_CONFIG_KEYS = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Healthcheck", "ArgsEscaped", "Volumes", "WorkingDir",
    "OnBuild", "Labels", "StopSignal", "Shell",
)  # fmt: skip
_ALWAYS: dict[str, object] = {"Env": None, "Cmd": None, "Entrypoint": None, "Labels": None, "Volumes": None}


def summary(image: Image, containers: int = -1) -> dict[str, Any]:
    """One element of GET /images/json."""
    return {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Created": image.created_unix,
        "Size": image.size,
        "SharedSize": -1,
        "Labels": image.run_config.get("Labels"),
        "Containers": containers,
    }


def inspect(image: Image, layers: LayerStore) -> dict[str, Any]:
    """GET /images/{name}/json."""
    config = image.config
    history = config.get("history") or [{}]
    body = {
        "Id": image.id,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Parent": image.parent,
        "Comment": str(config.get("comment") or history[-1].get("comment") or ""),
        "DockerVersion": str(config.get("docker_version") or ""),
        "Author": str(config.get("author") or ""),
        "Config": run_config(image),
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": _graph_data(image, layers)},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": _rfc3339(image.tagged_at)},
    }
    if image.created:  # an image need not say: `docker inspect` shows nothing then
        body["Created"] = image.created
    if image.variant:
        body["Variant"] = image.variant
    if made_by := _container(image.config):
        body["Wardian"] = made_by
    return body


def _container(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a commit says of its container: no fields of the API since 1.45."""
    name, asked = config.get("container"), config.get("container_config")
    if not isinstance(name, str) or not name:
        return {}
    return {"Container": name, "ContainerConfig": asked if isinstance(asked, dict) else {}}


def run_config(image: Image) -> dict[str, Any]:
    """The image's run configuration with the fields that Docker always shows."""
    stated = image.run_config
    return {**_ALWAYS, **{key: stated[key] for key in _CONFIG_KEYS if key in stated}}


def history(image: Image, layers: LayerStore) -> list[dict[str, Any]]:
    """GET /images/{name}/history: newest first; only the newest step has an id, and steps without a layer no size."""
    remaining = list(reversed(image.layers))  # bottom first, as history is
    steps: list[dict[str, Any]] = []
    for step in image.config.get("history") or []:
        size = 0
        if not step.get("empty_layer") and remaining:
            size = layers.facts(remaining.pop(0)).size
        steps.append(_step(step, size))
    steps += [_step({}, layers.facts(layer).size) for layer in remaining]  # layers that no history tells of
    steps.reverse()
    if steps:
        steps[0]["Id"] = image.id
        steps[0]["Tags"] = list(image.repo_tags) or None
    return steps


def _step(step: dict[str, Any], size: int) -> dict[str, Any]:
    return {
        "Id": "<missing>",
        "Created": unix_seconds(str(step.get("created") or "")),
        "CreatedBy": str(step.get("created_by") or ""),
        "Tags": None,
        "Size": size,
        "Comment": str(step.get("comment") or ""),
    }


def _graph_data(image: Image, layers: LayerStore) -> dict[str, str] | None:
    if not image.layers:
        return None
    top, *below = [layers.path(layer) for layer in image.layers]
    return {"UpperDir": top} | ({"LowerDir": ":".join(below)} if below else {})


def _rfc3339(nanoseconds: int) -> str:
    """The zero time of Go when never."""
    if not nanoseconds:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
