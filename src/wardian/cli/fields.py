"""Flag values made of `key=value` fields: --mount, --network in its long form, --gpus; and published ports."""

from __future__ import annotations

import os

from wardian.cli.pflag import FALSE_WORDS, TRUE_WORDS, go_quote
from wardian.cli.values import read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROTOCOLS = frozenset(("tcp", "udp", "sctp"))


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


def read_network(text: str) -> dict[str, Any]:
    """--network NAME, or name=NAME,alias=…,ip=… → what its endpoint is to be; "Target" is the network."""
    if "=" not in text:
        return {"Target": text}
    network: dict[str, Any] = {"Target": ""}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals:
            raise ValueError(f"invalid field {field}")
        _network_field(network, key, value)
    if not network["Target"]:
        raise ValueError("network name is not specified")
    return network


def _network_field(network: dict[str, Any], key: str, value: str) -> None:
    single = {"name": "Target", "ip": "IPv4Address", "ip6": "IPv6Address", "mac-address": "MacAddress"}
    if key in single:
        network[single[key]] = value
    elif key == "alias":
        network.setdefault("Aliases", []).append(value)
    elif key == "link-local-ip":
        network.setdefault("LinkLocalIPs", []).append(value)
    elif key == "driver-opt":
        name, equals, text = value.partition("=")
        if not equals:
            raise ValueError("invalid key/value pair format in driver options")
        network.setdefault("DriverOpts", {})[name.lower()] = text
    elif key == "gw-priority":
        try:
            network["GwPriority"] = int(value)
        except ValueError:
            raise ValueError(f"invalid gw-priority ({value})") from None
    else:
        raise ValueError(f"invalid field key {key}")


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


def read_published(text: str) -> list[tuple[str, dict[str, str]]]:
    """--publish [[ip:]host:]container[/proto], each part may be a range → (port/proto, binding) for each port."""
    if "=" in text:
        return _long_published(text)
    protocol = "tcp"
    rest, slash, after = text.partition("/")
    if slash:
        protocol = after.lower()
    *address_parts, container = rest.split(":")
    host = address_parts.pop() if address_parts else ""
    address = ":".join(address_parts).removeprefix("[").removesuffix("]")
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    if address:
        _check_address(address)
    first, last = _port_range(container, "containerPort")
    if not host:
        return [(f"{port}/{protocol}", {"HostIp": address, "HostPort": ""}) for port in range(first, last + 1)]
    low, high = _port_range(host, "hostPort")
    if high - low != last - first:
        if first != last:
            raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
        return [(f"{first}/{protocol}", {"HostIp": address, "HostPort": f"{low}-{high}"})]
    ports = range(first, last + 1)
    return [(f"{port}/{protocol}", {"HostIp": address, "HostPort": str(low + port - first)}) for port in ports]


def _long_published(text: str) -> list[tuple[str, dict[str, str]]]:
    values = {"published": "", "target": "", "protocol": "tcp", "mode": "ingress"}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if not equals or key not in values:
            raise ValueError(f"invalid field: {field}" if not equals else f"invalid field key: {key}")
        values[key] = value
    if not values["target"]:
        raise ValueError('missing mandatory field "target"')
    return read_published(f"{values['published']}:{values['target']}/{values['protocol']}".removeprefix(":"))


def _check_address(address: str) -> None:
    from wardian.cli.values import is_address

    if not is_address(address):
        raise ValueError(f"invalid IP address: {address}")


def _port_range(text: str, what: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    ports = []
    for port in (low, high if dash else low):
        if not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ValueError(f"invalid {what}: {text}")
        ports.append(int(port))
    if ports[1] < ports[0]:
        raise ValueError(f"invalid {what}: {text}")
    return ports[0], ports[1]


def read_exposed(text: str) -> list[str]:
    """--expose PORT[-PORT][/proto] → port/proto for each."""
    if ":" in text:
        raise ValueError(f"invalid port format for --expose: {text}")
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    try:
        first, last = _port_range(ports, "port")
    except ValueError:
        raise ValueError(f"invalid range format for --expose: {text}, error: invalid port {go_quote(ports)}") from None
    return [f"{port}/{protocol}" for port in range(first, last + 1)]
