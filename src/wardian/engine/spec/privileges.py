"""What options write about what the container may do: capabilities, seccomp, what of /proc and /sys is hidden."""

from typing import TYPE_CHECKING, Any

from wardian.engine.options.profile import seccomp_from_profile
from wardian.engine.spec.base import Spec, capability_sets, mount_at
from wardian.engine.spec.devices import host_devices
from wardian.errors import INVALID, WardianError
from wardian.runtime import defaults

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig


def write_privileged(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Everything the host has: all capabilities, all devices, writable /sys, nothing masked, no seccomp."""
    linux = spec["linux"]
    spec["process"]["capabilities"] = capability_sets(defaults.ALL_CAPABILITIES)
    linux["maskedPaths"], linux["readonlyPaths"] = [], []
    linux["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    linux["devices"] = host_devices()
    for destination in ("/sys", "/sys/fs/cgroup"):
        mount = mount_at(spec, destination)
        if mount is not None:
            mount["options"] = [option for option in mount["options"] if option != "ro"]


def write_capabilities(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Docker's rule. Privileged has them all, whatever else is said; an add of ALL is all but the drops, a drop of ALL
    only the adds; else the drops go first and the adds come after them.
    """
    add, drop = config["HostConfig.CapAdd"], config["HostConfig.CapDrop"]
    for path, names in (("CapAdd", add), ("CapDrop", drop)):
        for name in names:
            if name != "ALL" and name not in defaults.ALL_CAPABILITIES:
                message = f'invalid {path}: unknown capability: "{name}"'
                raise WardianError(INVALID, message, operation="create", subject=f"HostConfig.{path}")
    if config["HostConfig.Privileged"]:
        return
    base = defaults.ALL_CAPABILITIES if "ALL" in add else spec["process"]["capabilities"]["bounding"]
    if "ALL" in drop and "ALL" not in add:
        base = []
    kept = [name for name in base if name not in drop]
    if "ALL" not in add:
        kept += [name for name in add if name not in kept]
    spec["process"]["capabilities"] = capability_sets(kept)


def write_seccomp(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """The default profile knows the capabilities of this container (a container with SYS_ADMIN may mount)."""
    choice = config.security("seccomp")
    if config["HostConfig.Privileged"] or choice == "unconfined":
        return
    capabilities = spec["process"]["capabilities"]["bounding"]
    if choice in ("", "builtin"):
        spec["linux"]["seccomp"] = defaults.default_seccomp(capabilities)
    else:
        spec["linux"]["seccomp"] = seccomp_from_profile(choice, capabilities)


def write_security(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["noNewPrivileges"] = config.security("no-new-privileges") in ("set", "true")
    if config.security("systempaths") == "unconfined":
        spec["linux"]["maskedPaths"], spec["linux"]["readonlyPaths"] = [], []


def write_masked(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["linux"]["maskedPaths"] = value


def write_readonly_paths(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["linux"]["readonlyPaths"] = value
