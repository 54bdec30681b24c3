"""What a container was asked to be: the values of its options, immutable, and what `inspect` shows of them."""

import os
from collections.abc import Mapping
from typing import Any

from wardian.engine.options.runtimes import DEFAULT as DEFAULT_RUNTIME
from wardian.engine.options.table import DEFAULTS, ENDPOINTS, HOST, IDS, OURS, POINTS
from wardian.runtime import defaults

# fields of inspect's HostConfig that docker leaves out while nothing is set
_LEFT_OUT = frozenset(
    ("Annotations", "Init", "KernelMemory", "KernelMemoryTCP", "Mounts", "StorageOpt", "Sysctls", "Tmpfs")
)
# the option that says whose namespace of a kind is joined
JOINS = {"network": HOST + "NetworkMode", "pid": HOST + "PidMode", "ipc": HOST + "IpcMode"}
_SHOWN_HOST_CONFIG = {path.removeprefix(HOST): value for path, value in DEFAULTS.items() if path.startswith(HOST)}
_SHOWN_CONFIG = {
    path: value
    for path, value in DEFAULTS.items()
    if not path.startswith((HOST, OURS)) and path not in (ENDPOINTS, POINTS, IDS, "Runtime")
}


class ContainerConfig:
    """What a container was asked to be. Immutable; `config["HostConfig.Memory"]` is the value or its default."""

    __slots__ = ("_values", "directory", "id")

    def __init__(self, values: Mapping[str, Any], identity: str = "", directory: str = "") -> None:
        self._values = dict(values)
        self.id = identity
        self.directory = directory

    def __getitem__(self, path: str) -> Any:
        found = self._values.get(path)
        return DEFAULTS[path] if found is None else found

    def values(self) -> dict[str, Any]:
        """What differs from the defaults: this is what is stored."""
        return dict(self._values)

    def replaced(self, changes: Mapping[str, Any]) -> "ContainerConfig":
        return ContainerConfig(self._values | dict(changes), self.id, self.directory)

    def command(self) -> list[str]:
        return [*(self["Entrypoint"] or ()), *(self["Cmd"] or ())]

    def hostname(self) -> str:
        """Its own, the host's when it has the host's network or uts namespace, else its short id (docker's rule)."""
        if self["Hostname"]:
            return str(self["Hostname"])
        if "host" in (self[HOST + "NetworkMode"], self[HOST + "UTSMode"]):
            return os.uname().nodename
        return self.id[:12]

    def joins(self, kind: str) -> str:
        """The container whose namespace of this kind is joined, or ""."""
        mode = self[JOINS[kind]]
        return str(mode).partition(":")[2] if str(mode).startswith("container:") else ""

    def security(self, key: str) -> str:
        """The setting of one --security-opt: its value, "set" without one, "" when it is not there."""
        for item in self[HOST + "SecurityOpt"]:
            name, sign, value = item.partition("=")
            if not sign:
                name, sign, value = item.partition(":")
            if name == key:
                return value or "set"
        return ""

    def api_config(self) -> dict[str, Any]:
        """The `Config` of inspect."""
        found = self._shown(_SHOWN_CONFIG, "")
        found["Hostname"] = self.hostname()
        found["Volumes"] = found["Volumes"] or None
        for hidden in (
            "StopSignal",
            "MacAddress",
            "NetworkDisabled",
            "ArgsEscaped",
            "Shell",
            "StopTimeout",
            "ExposedPorts",
        ):
            if not found[hidden]:
                del found[hidden]
        if found["Healthcheck"] is None:
            del found["Healthcheck"]
        return found

    def api_host_config(self) -> dict[str, Any]:
        """The `HostConfig` of inspect: every field, as Docker shows them; lists that nobody filled are null."""
        found = self._shown(_SHOWN_HOST_CONFIG, HOST)
        found |= {name: None for name, value in found.items() if value == []}
        for name, ours in (("MaskedPaths", defaults.MASKED_PATHS), ("ReadonlyPaths", defaults.READONLY_PATHS)):
            asked = self[HOST + name]
            found[name] = ([] if self[HOST + "Privileged"] else list(ours)) if asked is None else asked
        found["PidsLimit"] = found["PidsLimit"] or None
        found["IpcMode"] = found["IpcMode"] or "private"
        found["CgroupnsMode"] = found["CgroupnsMode"] or "host"
        found["PortBindings"] = found["PortBindings"] or {}
        found["OomKillDisable"] = bool(found["OomKillDisable"])
        found["MemorySwap"] = found["MemorySwap"] or found["Memory"] * 2  # what write_memory makes of it
        found["Runtime"] = found["Runtime"] or self["Runtime"] or DEFAULT_RUNTIME
        return {name: value for name, value in found.items() if value or name not in _LEFT_OUT or value is False}

    def api_own(self) -> dict[str, Any]:
        """The `Wardian` of inspect: what Docker has no field for, as far as it was asked."""
        return {path.removeprefix(OURS): value for path, value in self._values.items() if path.startswith(OURS)}

    def _shown(self, unset: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """`unset` with what this container sets. The table is long and most of it is never set: one copy is quick."""
        names = ((path.removeprefix(prefix), value) for path, value in self._values.items() if path.startswith(prefix))
        return {**unset, **{name: value for name, value in names if value is not None and name in unset}}
