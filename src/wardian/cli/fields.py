"""Flag values made of `key=value` fields: --mount, --gpus."""

from __future__ import annotations

import os

from wardian.cli.pflag import FALSE_WORDS, TRUE_WORDS
from wardian.cli.values import read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def split_fields(text: str) -> list[str]:
    """The fields of one CSV record (RFC 4180): `a,"b,c"` → a and b,c."""
    fields, field, quoted, at = [], "", False, 0
    while at < len(text):
        letter = text[at]
        if quoted:
            if text[at : at + 2] == '""':
                field, at = field + '"', at + 1
            elif letter == '"':
                quoted = False
            else:
                field += letter
        elif letter == '"' and not field:
            quoted = True
        elif letter == ",":
            fields.append(field)
            field = ""
        else:
            field += letter
        at += 1
    if quoted:
        raise ValueError('parse error on line 1, column 1: extraneous or missing " in quoted-field')
    return [*fields, field]


def _switch(key: str, text: str) -> bool:
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise ValueError(f"invalid value for {key}: {text}")


def read_mount(text: str) -> dict[str, Any]:
    """--mount type=bind,src=…,dst=… → a Mount of the API."""
    mount: dict[str, Any] = {"Type": "volume"}
    for field in split_fields(text.strip()):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            if key not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive"):
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        _mount_field(mount, key, value, field)
    _check_mount(mount)
    return mount


def _mount_field(mount: dict[str, Any], key: str, value: str, field: str) -> None:
    if key == "type":
        mount["Type"] = value.lower()
    elif key in ("source", "src"):
        mount["Source"] = os.path.abspath(value) if value == "." or value.startswith("./") else value
    elif key in ("target", "dst", "destination"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _switch(key, value)
    elif key == "consistency":
        mount["Consistency"] = value.lower()
    else:
        kind, _, option = key.partition("-")
        writer = _MOUNT_OPTIONS.get(kind)
        if writer is None or not writer(mount, option, key, value):
            raise ValueError(f"unexpected key '{key}' in '{field}'")


def _bind_option(mount: dict[str, Any], option: str, key: str, value: str) -> bool:
    options = mount.setdefault("BindOptions", {})
    if option == "propagation":
        options["Propagation"] = value.lower()
    elif option == "nonrecursive":
        options["NonRecursive"] = _switch(key, value)
    elif option == "create-src":
        options["CreateMountpoint"] = _switch(key, value)
    elif option == "recursive":
        if value == "disabled":
            options["NonRecursive"] = True
        elif value == "writable":
            options["ReadOnlyNonRecursive"] = True
        elif value == "readonly":
            options["ReadOnlyForceRecursive"] = True
        elif value != "enabled":
            raise ValueError(
                f'invalid value for {key}: {value} (must be "enabled", "disabled", "writable", or "readonly")'
            )
    else:
        return False
    return True


def _volume_option(mount: dict[str, Any], option: str, key: str, value: str) -> bool:
    options = mount.setdefault("VolumeOptions", {})
    if option == "subpath":
        options["Subpath"] = value
    elif option == "nocopy":
        options["NoCopy"] = _switch(key, value)
    elif option == "label":
        name, _, text = value.partition("=")
        options.setdefault("Labels", {})[name] = text
    elif option == "driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif option == "opt":
        name, _, text = value.partition("=")
        options.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = text
    else:
        return False
    return True


def _image_option(mount: dict[str, Any], option: str, key: str, value: str) -> bool:
    if option != "subpath":
        return False
    mount.setdefault("ImageOptions", {})["Subpath"] = value
    return True


def _tmpfs_option(mount: dict[str, Any], option: str, key: str, value: str) -> bool:
    options = mount.setdefault("TmpfsOptions", {})
    try:
        if option == "size":
            options["SizeBytes"] = read_bytes(value)
        elif option == "mode":
            options["Mode"] = int(value, 8)
        else:
            return False
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None
    return True


_MOUNT_OPTIONS = {"bind": _bind_option, "volume": _volume_option, "image": _image_option, "tmpfs": _tmpfs_option}


def _check_mount(mount: dict[str, Any]) -> None:
    if not mount["Type"]:
        raise ValueError("type is required")
    if "Target" not in mount:
        raise ValueError("target is required")
    for kind, field in (
        ("bind", "BindOptions"),
        ("volume", "VolumeOptions"),
        ("image", "ImageOptions"),
        ("tmpfs", "TmpfsOptions"),
    ):
        if field in mount and mount["Type"] != kind:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")


def read_gpus(text: str) -> dict[str, Any]:
    """--gpus all, 2, or device=…,capabilities=… → a DeviceRequest of the API."""
    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    seen = set()
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", field
        if key in seen:
            raise ValueError(f"gpu request key '{key}' can be specified only once")
        seen.add(key)
        if key == "driver":
            request["Driver"] = value
        elif key == "count":
            request["Count"] = _gpu_count(value)
        elif key == "device":
            request["DeviceIDs"] = value.split(",")
        elif key == "capabilities":
            request["Capabilities"] = [[*value.split(","), "gpu"]]
        elif key == "options":
            request["Options"] = dict(option.partition("=")[::2] for option in split_fields(value))
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if request["DeviceIDs"] is None and "count" not in seen:
        request["Count"] = 1
    return request


def _gpu_count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'invalid count ({text}): value must be either "all" or an integer') from None
