"""The body of a create → the values of its options, each checked by its row; an image fills what it leaves open."""

from collections.abc import Mapping
from typing import Any

from wardian.engine.health import rules as health
from wardian.engine.options import checks
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.endpoints import settle_endpoints
from wardian.engine.options.network_checks import declared_ports
from wardian.engine.options.rules import RULES
from wardian.engine.options.table import HOST, OURS, ROWS
from wardian.engine.options.volume_checks import declared_volumes
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError


def decode(body: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a create body sets, checked. Raises INVALID or NOT_IMPLEMENTED, naming the field."""
    values: dict[str, Any] = {}
    for key, value in body.items():
        if key == "HostConfig":
            if value is not None:
                for inner, setting in checks.json_object(value, key).items():
                    _decode_one(HOST + inner, setting, values)
        elif key in ("NetworkingConfig", OURS.rstrip(".")):
            for inner, setting in checks.json_object(value or {}, key).items():
                _decode_one(f"{key}.{inner}", setting, values)
        else:
            _decode_one(key, value, values)
    settle_endpoints(values)
    for rule in RULES:
        rule(ContainerConfig(values))
    return values


def _decode_one(path: str, value: Any, values: dict[str, Any]) -> None:
    row = ROWS.get(path)
    if row is None:
        if _empty(value):
            return
        raise WardianError(
            NOT_IMPLEMENTED, f"{path}: Wardian does not know this option", operation="create", subject=path
        )
    if value is None or value == row.default or (value in row.absent and value is not True):
        return
    # an empty list is an answer for some: MaskedPaths [] masks nothing, Cmd [] is no command
    if _empty(value) and row.default is not None:
        return
    checked = row.check(value, path)
    if checked is not None:
        values[path] = checked


def _empty(value: Any) -> bool:
    return value is None or value is False or value == 0 or value == "" or value == [] or value == {}


def merge_image(values: dict[str, Any], image: Mapping[str, Any]) -> list[str]:
    """Fill `values` from an image's config by Docker's rules. Returns warnings. Raises INVALID without a command.

    An image is data: only these fields are taken from it, and each says only what the user might have said.
    """
    if not values.get("Entrypoint"):
        if not values.get("Cmd") and image.get("Cmd"):
            values["Cmd"] = list(image["Cmd"])
        if values.get("Entrypoint") is None and image.get("Entrypoint"):
            values["Entrypoint"] = list(image["Entrypoint"])
    if values.get("Entrypoint") == [""]:  # docker run --entrypoint ""
        del values["Entrypoint"]
    if not values.get("Entrypoint") and not values.get("Cmd"):
        raise WardianError(INVALID, "no command specified", operation="create", subject="Cmd")
    named = {item.partition("=")[0] for item in values.get("Env", ())}
    from_image = [item for item in image.get("Env") or () if item.partition("=")[0] not in named]
    if from_image or named:
        values["Env"] = [*values.get("Env", ()), *from_image]
    for key in ("WorkingDir", "User", "StopSignal"):
        if image.get(key) and not values.get(key):
            values[key] = str(image[key])
    if image.get("Labels"):
        values["Labels"] = dict(image["Labels"]) | values.get("Labels", {})
    if image.get("ExposedPorts"):
        values["ExposedPorts"] = declared_ports(image["ExposedPorts"]) | values.get("ExposedPorts", {})
    if image.get("Volumes"):
        values["Volumes"] = declared_volumes(dict(image["Volumes"]), "Volumes") | values.get("Volumes", {})
    _merge_health(values, image)
    return health.warnings(values.get("Healthcheck"))


def _merge_health(values: dict[str, Any], image: Mapping[str, Any]) -> None:
    merged = health.merged(values.get("Healthcheck"), image.get("Healthcheck"))
    if merged is not None:
        values["Healthcheck"] = health.checked(merged, "Healthcheck")
    action = values.get(OURS + "HealthOnFailure")
    if action and health.check_of(ContainerConfig(values)) is None:  # in Podman's words
        message = f"cannot set on-failure action to {action} without a health check"
        raise WardianError(INVALID, message, operation="create", subject="HealthOnFailure")
