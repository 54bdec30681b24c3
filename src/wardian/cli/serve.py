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
    Flag("data-root", "", "string", "", "Directory of images, containers and state"),
    Flag("run-root", "", "string", "", "Directory of sockets and what a reboot may lose"),
    Flag("socket", "", "string", "", "Path of the API's socket"),
)


def serve(invocation: Invocation) -> int:
    socket = invocation.text("socket") or invocation.options.host.removeprefix("unix://")
    words = []
    for flag in _FLAGS:
        value = socket if flag.name == "socket" else invocation.text(flag.name)
        if value:
            words += [f"--{flag.name}", value]
    try:
        os.execv(sys.executable, [sys.executable, "-m", "wardian.server", *words])
    except OSError as error:
        raise Failure(f"cannot run {sys.executable}: {error}") from None


SERVE = Command(serve, "[OPTIONS]", _FLAGS, most=0)
