"""Whether something starts this engine when the host does: without it, restart policies end with a reboot."""

import os

_UNIT = "wardian.service"
_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


def boot_warnings() -> list[str]:
    """What `info` says to the person who did not install the unit; any other service manager's name is not known."""
    if any(os.path.exists(os.path.join(directory, _UNIT)) for directory in _DIRECTORIES):
        return []
    return [
        "WARNING: nothing starts this engine after a reboot, and restart policies are not applied until something does "
        "(`wardian system install` writes the systemd units)"
    ]
