"""The engine's options in a file, by the names that Docker's daemon.json has for them (`--config-file`).

A key that is not known is an error that names it, and so is one that the command line says too, in dockerd's words:
what is in effect is then never a question of which of them wins. At SIGHUP the file is read again (docs/engine.md).
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wardian.errors import INVALID, WardianError

DEFAULT = "/etc/wardian/daemon.json"
Settings = dict[str, Any]


class Key(NamedTuple):
    """`dest`: where the command line keeps the same; `flag`: how it calls it."""

    dest: str
    flag: str
    read: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("must be a list of strings")
    return [_text(one) for one in value]


def _size(value: Any) -> str:
    """As dockerd takes it: a number of bytes, or 64M."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _pairs(value: Any) -> list[str]:
    if not isinstance(value, dict):
        raise ValueError("must be an object of strings")
    return [f"{key}={_text(one)}" for key, one in value.items()]


def _pools(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, dict) and set(one) == {"base", "size"} for one in value):
        raise ValueError("must be a list of objects with base and size")
    return [f"base={one['base']},size={one['size']}" for one in value]


def _ulimits(value: Any) -> list[str]:
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise ValueError("must be an object of objects with Name, Soft and Hard")
    return [f"{name}={one.get('Soft', 0)}:{one.get('Hard', 0)}" for name, one in value.items()]


def _only(*accepted: Any) -> Callable[[Any], None]:
    def read(value: Any) -> None:
        if value not in accepted:
            raise ValueError(f"is always {json.dumps(accepted[0])} in Wardian")

    return read


def _keys(read: Callable[[Any], Any], *names: str) -> dict[str, Key]:
    return {name: Key(name.replace("-", "_"), name, read) for name in names}


KEYS: dict[str, Key] = {
    **_keys(_text, "data-root", "run-root", "socket", "group", "cgroup-base", "tlscacert", "tlscert", "tlskey"),
    **_keys(_text, "bridge", "firewall-backend", "metrics-addr", "userns-remap", "subid-dir", "log-driver"),
    **_keys(_text, "journal-socket"),
    **_keys(_flag, "debug", "init", "tls", "tlsverify", "respect-host-firewall", "ip-forward-no-drop"),
    **_keys(_texts, "allow", "dns", "dns-search"),
    **_keys(_size, "default-shm-size"),
    "exec-root": Key("run_root", "run-root", _text),
    "hosts": Key("host", "host", _texts),
    "labels": Key("label", "label", _texts),
    "dns-opts": Key("dns_opt", "dns-opt", _texts),
    "log-opts": Key("log_opt", "log-opt", _pairs),
    "default-address-pools": Key("default_address_pool", "default-address-pool", _pools),
    "default-ulimits": Key("default_ulimit", "default-ulimit", _ulimits),
}
# What dockerd has a switch for and Wardian has one way of.
FIXED: dict[str, Callable[[Any], None]] = {
    **dict.fromkeys(("live-restore", "iptables", "ip6tables", "ip-forward", "ip-masq"), _only(True)),
    **dict.fromkeys(("userland-proxy", "experimental", "selinux-enabled"), _only(False)),
    "storage-driver": _only("overlay2"),
    "default-runtime": _only("wardian", "runc", "io.containerd.runc.v2"),
}
_PATHS = ("data-root", "run-root", "exec-root", "socket", "subid-dir", "tlscacert", "tlscert", "tlskey")


def read_file(path: str) -> Settings:
    """The file's own keys and values, checked. Raises WardianError, OSError."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        found = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise _wrong(path, "it is no JSON object")
    unknown = [key for key in found if key not in KEYS and key not in FIXED]
    if unknown:
        raise _wrong(path, f"the following directives don't match any configuration option: {', '.join(unknown)}")
    for key, value in found.items():
        try:
            (KEYS[key].read if key in KEYS else FIXED[key])(value)
        except ValueError as error:
            raise _wrong(path, f"{key} {error}") from None
    return found


def _wrong(path: str, why: str) -> WardianError:
    message = f"unable to configure Wardian with file {path}: {why}"
    return WardianError(INVALID, message, operation="serve", subject=path)


def apply_file(given: argparse.Namespace, said: Callable[[], Mapping[str, Any]]) -> Settings:
    """Fills `given` from the file that it names, and answers what was in it. `said`: what the command line did;
    it is not asked where there is no file.

    The default file need not be there. Raises WardianError, OSError.
    """
    path = given.config_file or DEFAULT
    if not given.config_file and not os.path.exists(path):
        return {}
    found, explicit = read_file(path), said()
    twice = [
        f"{key}: (from flag: {explicit[KEYS[key].dest]}, from file: {value})"
        for key, value in found.items()
        if key in KEYS and KEYS[key].dest in explicit
    ]
    if twice:
        words = "the following directives are specified both as a flag and in the configuration file"
        raise _wrong(path, f"{words}: {', '.join(twice)}")
    for key, value in found.items():
        if key in KEYS:
            read = KEYS[key].read(value)
            setattr(given, KEYS[key].dest, os.path.abspath(read) if key in _PATHS else read)
    return found
