"""Platforms of images: `os/architecture[/variant]` in Go's names (OCI image-index), and the choice among them."""

import platform as _platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.errors import INVALID, NOT_FOUND, WardianError

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386", "armv7l": "arm",
    "armhf": "arm", "armel": "arm", "armv6l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64",
    "loongarch64": "loong64",
}  # fmt: skip
_DEFAULT_VARIANT = {"armv7l": "v7", "armhf": "v7", "armv6l": "v6", "armel": "v6"}
_IMPLIED = {"arm64": "v8", "arm": "v7", "amd64": "v1"}  # what an architecture without a variant means


class Platform(NamedTuple):
    """`variant` is empty where it says nothing beyond the architecture."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))


def host_platform() -> Platform:
    """The platform of this machine."""
    return _normalize("linux", _platform.machine(), "")


def parse_platform(text: str) -> Platform:
    """`linux/arm64/v8`, `arm64`, `linux/x86_64` … Raises INVALID."""
    parts = text.lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(part.replace("-", "").replace("_", "").isalnum() for part in parts):
        raise WardianError(INVALID, f'"{text}" is an invalid platform: expected os[/arch[/variant]]', subject=text)
    if len(parts) == 1:
        if parts[0] in ("linux", "windows", "darwin", "freebsd"):
            return Platform(parts[0], host_platform().architecture)
        return _normalize("linux", parts[0], "")
    return _normalize(parts[0], parts[1], parts[2] if len(parts) == 3 else "")


def platform_of(document: Mapping[str, Any]) -> Platform:
    """The platform that an image config or an index's platform object states."""
    fields = (document.get("os") or "linux", document.get("architecture") or "", document.get("variant") or "")
    return _normalize(*map(str, fields))


def matches(wanted: Platform, found: Platform) -> bool:
    """Whether an image for `found` runs where `wanted` is: same architecture, its variant no higher."""
    return _rank(wanted, found) is not None


def foreign(found: Platform) -> str:
    """Docker's warning when an image that nobody asked for by platform is not for this machine; empty when it is."""
    host = host_platform()
    if not found.architecture or matches(host, found):
        return ""
    return (
        f"The requested image's platform ({found}) does not match the detected host platform ({host}) "
        "and no specific platform was requested"
    )


def choose(entries: Sequence[Mapping[str, Any]], wanted: Platform) -> Mapping[str, Any]:
    """The index entry for `wanted`: the nearest variant that runs there, the first of equals.

    An entry without a platform is taken only when there is no other. Raises NOT_FOUND with Docker's words and the
    platforms that there are.
    """
    ranked: list[tuple[int, int]] = []
    for position, entry in enumerate(entries):
        stated = entry.get("platform")
        if isinstance(stated, Mapping):
            rank = _rank(wanted, platform_of(stated))
            if rank is not None:
                ranked.append((rank, position))
        elif len(entries) == 1:
            return entry
    if not ranked:
        raise WardianError(
            NOT_FOUND,
            f"no matching manifest for {wanted} in the manifest list entries",
            operation="choose platform",
            subject=str(wanted),
            hint=f"it has: {_known(entries)}",
        )
    return entries[min(ranked)[1]]


def _known(entries: Iterable[Mapping[str, Any]]) -> str:
    stated = [entry["platform"] for entry in entries if isinstance(entry.get("platform"), Mapping)]
    names = {str(platform_of(one)) for one in stated if one.get("os") != "unknown"}  # "unknown" are attestations
    return ", ".join(sorted(names)) or "none with a platform"


def _rank(wanted: Platform, found: Platform) -> int | None:
    """0 for the same variant, more for lower ones, None when it does not run there."""
    if wanted[:2] != found[:2]:
        return None
    distance = _level(wanted) - _level(found)
    return distance if distance >= 0 else None


def _level(platform: Platform) -> int:
    variant = platform.variant or _IMPLIED.get(platform.architecture, "v0")
    digits = variant.removeprefix("v").partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _normalize(os: str, architecture: str, variant: str) -> Platform:
    variant = variant or _DEFAULT_VARIANT.get(architecture, "")
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if variant.isdigit():
        variant = f"v{variant}"
    return Platform(os, architecture, "" if (architecture, variant) == ("arm64", "v8") else variant)
