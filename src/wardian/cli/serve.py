"""`serve`: this process becomes the engine, in the foreground."""

from __future__ import annotations

import os
import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation

_FLAGS = (
    Flag("bridge", "", "string", "", "Link of the default network"),
    Flag("cgroup-base", "", "string", "", "Group below which the containers' cgroups are made"),
    Flag("default-address-pool", "", "list", "", "Where networks take subnets from (base=10.201.0.0/16,size=24)"),
    Flag("data-root", "", "string", "", "Directory of images, containers and state"),
    Flag("firewall-backend", "", "string", "", 'Where the firewall rules go: "nftables" (default) or "iptables"'),
    Flag("init", "", "bool", "", "Run an init as process 1 of containers that do not say whether they want one"),
    Flag("ip-forward-no-drop", "", "bool", "", "Let other links' forwarding pass where Wardian turned it on"),
    Flag("respect-host-firewall", "", "bool", "", "Add no rule where another firewall's chain drops forwarded packets"),
    Flag("run-root", "", "string", "", "Directory of sockets and what a reboot may lose"),
    Flag("socket", "", "string", "", "Path of the API's socket"),
)


def serve(invocation: Invocation) -> int:
    socket = invocation.text("socket") or invocation.options.host.removeprefix("unix://")
    words = [word for flag in _FLAGS for word in _words(flag.name, invocation[flag.name])]
    words += ["--socket", socket] if socket else []
    try:
        os.execv(sys.executable, [sys.executable, "-m", "wardian.server", *words])
    except OSError as error:
        raise Failure(f"cannot run {sys.executable}: {error}") from None


def _words(name: str, value: object) -> list[str]:
    """A flag as the engine's own command line has it; nothing for one that was not given."""
    if name == "socket" or not value:
        return []
    if value is True:
        return [f"--{name}"]
    texts = value if isinstance(value, list) else [str(value)]
    return [word for text in texts for word in (f"--{name}", text)]


SERVE = Command(serve, "[OPTIONS]", _FLAGS, most=0)
