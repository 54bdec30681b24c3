"""Docker's seccomp profile (--security-opt seccomp=FILE: docker's CLI sends the file's text) → the OCI spec's object.

The profile adds to the spec's form: names per architecture (archMap), and rules that hold only for some capabilities,
architectures or kernels (includes, excludes). See docs.docker.com, "Seccomp security profiles for Docker".
"""

import os
import platform
from collections.abc import Sequence
from typing import Any

import msgspec

from wardian.errors import INVALID, WardianError

_ARCH = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}


def seccomp_from_profile(text: str, capabilities: Sequence[str]) -> dict[str, Any]:
    """Raises WardianError(INVALID) when `text` is no profile."""
    try:
        return _from_profile(msgspec.json.decode(text), capabilities)
    except (msgspec.DecodeError, AttributeError, TypeError, KeyError, ValueError) as error:
        message = f"Decoding seccomp profile failed: {error}"
        raise WardianError(INVALID, message, operation="create", subject="HostConfig.SecurityOpt") from None


def _from_profile(profile: dict[str, Any], capabilities: Sequence[str]) -> dict[str, Any]:
    """Any error of a wrong type in here says that it is no profile."""
    action = profile["defaultAction"]
    native, name = _ARCH.get(platform.machine(), ("", platform.machine()))
    result: dict[str, Any] = {"defaultAction": action, "architectures": _architectures(profile, native), "syscalls": []}
    if "defaultErrnoRet" in profile:
        result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    if profile.get("flags"):
        result["flags"] = profile["flags"]
    for rule in profile.get("syscalls") or ():
        if _applies(rule, name, capabilities):
            result["syscalls"].append(_spec_rule(rule))
    return result


def _architectures(profile: dict[str, Any], native: str) -> list[str]:
    for row in profile.get("archMap") or ():
        if row.get("architecture") == native:
            return [native, *(row.get("subArchitectures") or ())]
    return profile.get("architectures") or [native]


def _applies(rule: dict[str, Any], arch: str, capabilities: Sequence[str]) -> bool:
    include, exclude = rule.get("includes") or {}, rule.get("excludes") or {}
    if include.get("arches") and arch not in include["arches"]:
        return False
    if not set(include.get("caps") or ()).issubset(capabilities):
        return False
    if include.get("minKernel") and _kernel() < _version(include["minKernel"]):
        return False
    if arch in (exclude.get("arches") or ()) or set(exclude.get("caps") or ()).intersection(capabilities):
        return False
    return not (exclude.get("minKernel") and _kernel() >= _version(exclude["minKernel"]))


def _spec_rule(rule: dict[str, Any]) -> dict[str, Any]:
    names = rule.get("names") or [rule["name"]]
    result = {"names": names, "action": rule["action"]}
    if rule.get("args"):
        result["args"] = rule["args"]
    if "errnoRet" in rule:
        result["errnoRet"] = rule["errnoRet"]
    return result


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    minor = "".join(char for char in rest.split(".")[0].split("-")[0] if char.isdigit())
    return int(major), int(minor or 0)


def _kernel() -> tuple[int, int]:
    return _version(os.uname().release)
