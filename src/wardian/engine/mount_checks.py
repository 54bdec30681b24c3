"""What --volume, --mount and --tmpfs may be. See `checks` for what a check is."""

import os
from typing import Any

from wardian.engine import checks
from wardian.errors import INVALID, WardianError


def bind_specs(value: Any, path: str) -> list[str]:
    """SOURCE:TARGET[:MODE] with absolute source and target; a source without a slash is a volume's name."""
    for item in checks.strings(value, path):
        parts = item.split(":")
        if len(parts) == 1 or not parts[0].startswith("/"):
            raise checks.not_built(path, f"the volume of {item!r}")
        if not 2 <= len(parts) <= 3 or not parts[1].startswith("/") or os.path.normpath(parts[1]) in ("/", "//"):
            raise WardianError(INVALID, f"invalid volume specification: '{item}'", operation="create", subject=path)
        for word in filter(None, parts[2].split(",") if len(parts) == 3 else ()):
            if word in ("z", "Z", "nocopy", "consistent", "cached", "delegated"):
                continue
            if word not in ("ro", "rw", "private", "rprivate", "shared", "rshared", "slave", "rslave"):
                raise WardianError(INVALID, f"invalid mode: {parts[2]}", operation="create", subject=path)
    return list(value)


def mount_specs(value: Any, path: str) -> list[dict[str, Any]]:
    """HostConfig.Mounts of type bind and tmpfs."""
    if not isinstance(value, list):
        raise checks.invalid(path, value, "must be a list")
    for item in value:
        if not isinstance(item, dict):
            raise checks.invalid(path, item, "must be an object")
        kind, target, source = item.get("Type"), item.get("Target"), item.get("Source", "")
        if kind not in ("bind", "tmpfs"):
            raise checks.not_built(path, f"a mount of type {kind!r}")
        if not isinstance(target, str) or not target.startswith("/"):
            message = (
                f"invalid mount config for type \"{kind}\": invalid mount path: '{target}' mount path must be absolute"
            )
            raise WardianError(INVALID, message, operation="create", subject=path)
        if kind == "bind" and not str(source).startswith("/"):
            message = (
                f"invalid mount config for type \"bind\": invalid mount path: '{source}' mount path must be absolute"
            )
            raise WardianError(INVALID, message, operation="create", subject=path)
        _known_mount_options(item, path)
        _read_only_options(item, path)
    return list(value)


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
    },
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
