"""What the options about volumes may be, in Docker's words. See `checks` for what a check is."""

import posixpath
from typing import Any

from wardian.engine.options import checks
from wardian.errors import INVALID, WardianError
from wardian.storage import check_options

_FROM_MODES = frozenset(("ro", "rw", "z", "Z", ""))


def refused(message: str, path: str) -> WardianError:
    return WardianError(INVALID, message, operation="create", subject=path)


def wrong_mount(kind: str, reason: str, path: str) -> WardianError:
    return refused(f'invalid mount config for type "{kind}": {reason}', path)


def check_target(target: Any, kind: str, path: str) -> None:
    """Where a mount goes."""
    if not isinstance(target, str) or not target:
        raise wrong_mount(kind, "field Target must not be empty", path)
    if "\0" in target:
        raise checks.invalid(path, target, "holds a NUL byte")
    if not target.startswith("/"):
        raise wrong_mount(kind, f"invalid mount path: '{target}' mount path must be absolute", path)
    if posixpath.normpath(target) in ("/", "//"):
        raise wrong_mount(kind, "invalid specification: destination can't be '/'", path)


def declared_volumes(value: Any, path: str) -> dict[str, Any]:
    """`Volumes`: places for anonymous volumes, the keys of an object."""
    if not isinstance(value, dict):
        raise checks.invalid(path, value, "must be an object")
    for target in value:
        if not checks.text(target, path) or posixpath.normpath("/" + target.lstrip("/")) == "/":
            raise refused(f"invalid volume specification: '{target}': destination can't be '/'", path)
    return {target: {} for target in value}


def volumes_from(value: Any, path: str) -> list[str]:
    """CONTAINER[:ro|rw]."""
    for item in checks.strings(value, path):
        if not item:
            raise refused("volumes-from specification cannot be an empty string", path)
        mode = item.partition(":")[2]
        if not _FROM_MODES.issuperset(mode.split(",")):
            raise refused(f"invalid mode: {mode}", path)
    return list(value)


def image_options(item: dict[str, Any], path: str) -> None:
    """A mount of type image: whose, and which part of it."""
    if not item.get("Source"):
        raise wrong_mount("image", "field Source must not be empty", path)
    _check_subpath((item.get("ImageOptions") or {}).get("Subpath") or "", "image", path)


def _check_subpath(subpath: str, kind: str, path: str) -> None:
    if subpath.startswith("/") or posixpath.normpath(subpath).split("/")[0] == "..":
        raise wrong_mount(kind, "subpath must be a relative path within the volume", path)


def volume_options(item: dict[str, Any], path: str) -> None:
    """A mount of type volume: what its VolumeOptions may say."""
    options = checks.json_object(item.get("VolumeOptions") or {}, path)
    source = item.get("Source") or ""
    subpath = checks.text(options.get("Subpath") or "", path)
    if subpath:
        if not source:
            raise wrong_mount("volume", "must not set Subpath when using anonymous volumes", path)
        _check_subpath(subpath, "volume", path)
    checks.flag(options.get("NoCopy") or False, path)
    checks.mapping(options.get("Labels") or {}, path)
    driver = checks.json_object(options.get("DriverConfig") or {}, path)
    checks.text(driver.get("Name") or "", path)
    check_options(source, checks.mapping(driver.get("Options") or {}, path))
    for group, known in ((options, ("NoCopy", "Labels", "DriverConfig", "Subpath")), (driver, ("Name", "Options"))):
        for key, setting in group.items():
            if setting and key not in known:
                raise checks.not_built(path, f"VolumeOptions.{key}")
