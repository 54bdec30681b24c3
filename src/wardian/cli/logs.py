"""`logs`: what a container wrote."""

from __future__ import annotations

from wardian.cli.command import Command, path_name
from wardian.cli.moments import read_moment
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation
    from wardian.client import Stream


def logs(invocation: Invocation) -> int:
    from wardian.client.console import write_frames
    from wardian.descriptors import write_all

    name = path_name(invocation.args[0])
    query = {
        "details": invocation.flag("details"),
        "follow": invocation.flag("follow"),
        "since": read_moment(invocation.text("since"), "since"),
        "stderr": True,
        "stdout": True,
        "tail": invocation.text("tail"),
        "timestamps": invocation.flag("timestamps"),
        "until": read_moment(invocation.text("until"), "until"),
    }
    with invocation.client.stream("GET", f"/containers/{name}/logs", query=query) as stream:
        if _is_framed(invocation, stream, name):
            write_frames(stream.chunks())
        else:
            for chunk in stream.chunks():
                write_all(1, chunk)
    return 0


def _is_framed(invocation: Invocation, stream: Stream, name: str) -> bool:
    if "multiplexed" in stream.headers.get("content-type", ""):
        return True
    from wardian.client.http import SAYS_FRAMING

    if invocation.client.at_least(SAYS_FRAMING):
        return False
    container = invocation.client.call("GET", f"/containers/{name}/json")
    return isinstance(container, dict) and not container["Config"].get("Tty")


LOGS = Command(
    logs,
    "[OPTIONS] CONTAINER",
    (
        Flag("details", "", "bool", "", "Show what log options added to each line"),
        Flag("follow", "f", "bool", "", "Go on as more is written"),
        Flag("since", "", "string", "", "Show what was written after a moment, or in the last 42m"),
        Flag("tail", "n", "string", "", "Show that many lines from the end", default="all"),
        Flag("timestamps", "t", "bool", "", "Show when each line was written"),
        Flag("until", "", "string", "", "Show what was written before a moment, or 42m ago"),
    ),
    least=1,
    most=1,
)
