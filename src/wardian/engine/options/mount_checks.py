"""What --volume, --mount and --tmpfs may be. See `checks` for what a check is."""

import os
from typing import Any

from wardian.engine.options import checks, volume_checks
from wardian.errors import INVALID, WardianError
from wardian.storage import check_volume_name

_PROPAGATIONS = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
# the words of a mode by what they say: one of each
_BIND_WORDS = (
    frozenset(("ro", "rw")),
    frozenset(("z", "Z")),
    _PROPAGATIONS,
    frozenset(("nocopy",)),
    frozenset(("consistent", "cached", "delegated")),
)


def bind_specs(value: Any, path: str) -> list[str]:
    """SOURCE:TARGET[:MODE]: a source without a leading slash is a volume's name, TARGET alone a volume without one."""
    for item in checks.strings(value, path):
        parts = item.split(":")
        if len(parts) > 3 or "" in parts:
            raise wrong_spec(item, "", path)
        source, target, mode = (["", *parts] if len(parts) == 1 else parts) + [""] * (len(parts) < 3)
        kind = "bind" if source.startswith("/") else "volume"
        words = mode.split(",") if mode else []
        said = [next((group for group in _BIND_WORDS if word in group), None) for word in words]
        if None in said or len(set(said)) < len(said):
            raise volume_checks.refused(f"invalid mode: {mode}", path)
        foreign = (_PROPAGATIONS, "BindOptions") if kind == "volume" else (frozenset(("nocopy",)), "VolumeOptions")
        if foreign[0].intersection(words):
            reason = f'invalid mount config for type "{kind}": field {foreign[1]} must not be specified'
            raise wrong_spec(item, reason, path)
        try:
            volume_checks.check_target(target, kind, path)
        except WardianError as error:
            raise wrong_spec(item, error.message, path) from None
        if kind == "volume" and source:
            check_volume_name(source)
    return list(value)


def wrong_spec(item: str, reason: str, path: str) -> WardianError:
    return volume_checks.refused(f"invalid volume specification: '{item}'{': ' if reason else ''}{reason}", path)


_KINDS = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions", "image": "ImageOptions"}


def mount_specs(value: Any, path: str) -> list[dict[str, Any]]:
    """HostConfig.Mounts of type bind, volume, image and tmpfs."""
    for item in checks.json_list(value, path):
        if not isinstance(item, dict):
            raise checks.invalid(path, item, "must be an object")
        _mount_spec(item, path)
    return list(value)


def _mount_spec(item: dict[str, Any], path: str) -> None:
    kind = checks.text(item.get("Type") or "", path)
    volume_checks.check_target(item.get("Target"), kind, path)
    if kind in ("cluster", "npipe"):
        raise checks.not_built(path, f"a mount of type {kind!r}")
    if kind not in _KINDS:
        raise volume_checks.wrong_mount(kind, "mount type unknown", path)
    source = checks.text(item.get("Source") or "", path)
    if kind == "bind" and not source.startswith("/"):
        raise volume_checks.wrong_mount(kind, f"invalid mount path: '{source}' mount path must be absolute", path)
    for other, group in _KINDS.items():
        if other == kind or item.get(group) is None:
            continue
        if group == "ImageOptions":
            raise volume_checks.wrong_mount(kind, "field ImageOptions must not be specified", path)
        raise volume_checks.refused(f'{group} must not be specified on mount type "{kind}"', path)
    if kind == "tmpfs" and source:
        raise volume_checks.wrong_mount(kind, "field Source must not be specified", path)
    _known_mount_options(item, path)
    _read_only_options(item, path)
    if kind == "image":
        volume_checks.image_options(item, path)
    if kind == "volume":
        if source:
            check_volume_name(source)
        volume_checks.volume_options(item, path)


# the fields of a mount that are built, by the object they are in
_BUILT: dict[str, dict[str, checks.Check]] = {
    "": {
        "Type": checks.text,
        "Source": checks.text,
        "Target": checks.text,
        "ReadOnly": checks.flag,
        "Consistency": checks.text,
        "BindOptions": checks.json_object,
        "TmpfsOptions": checks.json_object,
        "VolumeOptions": checks.json_object,
        "ImageOptions": checks.json_object,
    },
    "ImageOptions": {"Subpath": checks.text},
    "BindOptions": {
        "Propagation": checks.one_of("private", "rprivate", "shared", "rshared", "slave", "rslave"),
        "NonRecursive": checks.flag,
        "CreateMountpoint": checks.flag,
        "ReadOnlyNonRecursive": checks.flag,
        "ReadOnlyForceRecursive": checks.flag,
    },
    "TmpfsOptions": {"SizeBytes": checks.integer(0), "Mode": checks.integer(0, 0o7777)},
}


def _known_mount_options(item: dict[str, Any], path: str) -> None:
    for group, known in _BUILT.items():
        fields = item if not group else item.get(group) or {}
        for key, value in fields.items():
            if not value:
                continue
            where = ".".join(filter(None, (path, group, key)))
            if key not in known:
                raise checks.not_built(path, f"{group or 'Mounts'}.{key}")
            known[key](value, where)


_TMPFS_WORDS = frozenset(
    "ro rw noexec exec nodev dev nosuid suid noatime atime nodiratime diratime relatime norelatime strictatime "
    "nostrictatime sync async dirsync mand nomand bind rbind private rprivate shared rshared slave rslave unbindable "
    "runbindable remount defaults".split()
)
_TMPFS_SETTINGS = frozenset(("mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"))


def tmpfs_mounts(value: Any, path: str) -> dict[str, str]:
    """tmpfs(5)'s options and the flags of mount(8) by name, as Docker lets them through."""
    for target, options in checks.mapping(value, path).items():
        if not target.startswith("/"):
            message = f"invalid mount path: '{target}' mount path must be absolute"
            raise WardianError(INVALID, message, operation="create", subject=path)
        if os.path.normpath(target) in ("/", "//"):
            message = "invalid specification: destination can't be '/'"
            raise WardianError(INVALID, message, operation="create", subject=path)
        for word in filter(None, options.split(",")):
            name, sign, setting = word.partition("=")
            if name not in (_TMPFS_SETTINGS if sign else _TMPFS_WORDS):
                raise WardianError(INVALID, f'invalid tmpfs option "{word}"', operation="create", subject=path)
            if name == "size" and sign and not setting.endswith("%"):
                checks.size_bytes(setting, path)
    return dict(value)


def _read_only_options(item: dict[str, Any], path: str) -> None:
    """--mount bind-recursive=writable and =readonly."""
    options = item.get("BindOptions") or {}
    for name in ("ReadOnlyNonRecursive", "ReadOnlyForceRecursive"):
        if options.get(name) and not item.get("ReadOnly"):
            raise checks.invalid(path, name, "needs a mount that is read-only")
    if options.get("ReadOnlyForceRecursive"):
        if options.get("ReadOnlyNonRecursive"):
            raise checks.invalid(path, "ReadOnlyForceRecursive", "conflicts with ReadOnlyNonRecursive")
        if options.get("Propagation") not in (None, "", "rprivate"):
            raise checks.invalid(path, "ReadOnlyForceRecursive", "needs the propagation rprivate")
