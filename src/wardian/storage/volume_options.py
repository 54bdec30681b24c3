"""What a volume may be called and be made of: Docker's grammar of names and the options of its `local` driver. Pure.

type, device    as mount(8) takes them; one is nothing without the other
o               its options, separated by commas; `bind` and `rbind` make a bind mount of the device
"""

import re
from collections.abc import Mapping

from wardian.errors import INVALID, NOT_FOUND, NOT_IMPLEMENTED, WardianError
from wardian.kernel.mounts import Mount

DRIVER = "local"
ANONYMOUS = "com.docker.volume.anonymous"  # the label of a volume that nobody named
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_MOST = 255  # bytes of a file's name
_KNOWN = ("type", "o", "device", "size")
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}


def check_volume_name(name: str) -> None:
    """Raises INVALID in Docker's words. What passes is one component of a path, and neither `.` nor `..`."""
    if len(name) == 1:
        reason = "volume name is too short, names should be at least two alphanumeric characters"
    elif not _NAME.fullmatch(name):
        reason = (
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )
    elif len(name) > _MOST:
        reason = f"a name has at most {_MOST} characters"
    else:
        return
    raise _refused(name, reason)


def check_driver(name: str, driver: str) -> None:
    """There is one. Raises NOT_FOUND as a Docker without this plugin does."""
    if driver not in ("", DRIVER):
        message = f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
        raise WardianError(NOT_FOUND, message, operation="create volume", subject=name)


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raises INVALID in Docker's words; NOT_IMPLEMENTED for a quota."""
    for key in options:
        if key not in _KNOWN:
            raise _refused(name, f'invalid option: "{key}"')
    for key, needed in _NEEDS.items():
        for other in needed if key in options else ():
            if other not in options:
                raise _refused(name, f'missing required option: "{other}"')
    if "size" in options:
        message = f"create {name}: quota size requested but no quota support"
        raise WardianError(NOT_IMPLEMENTED, message, operation="create volume", subject=name)
    for key, value in options.items():
        if "\0" in value:
            raise _refused(name, f'the option "{key}" holds a NUL byte')


def volume_mount(path: str, options: Mapping[str, str]) -> Mount:
    """The mount of a volume whose directory is `path`: for a plan or a view to make. Its options are mount(8)'s."""
    if not options.get("type"):
        return Mount("bind", path)
    words = tuple(word for word in options.get("o", "").split(",") if word)
    if "bind" in words or "rbind" in words:
        return Mount("bind", options["device"], options=words)
    if options["type"] == "tmpfs" and not any(word.startswith("mode=") for word in words):
        words = (*words, "mode=1777")
    return Mount(options["type"], options["device"], options=words)


def _refused(name: str, reason: str) -> WardianError:
    return WardianError(INVALID, f"create {name}: {reason}", operation="create volume", subject=name)
