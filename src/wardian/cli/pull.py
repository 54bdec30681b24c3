"""`pull`, and what run, push and import share with it: the progress of a transfer."""

from __future__ import annotations

import os

from wardian.cli.command import Command, Failure
from wardian.cli.credentials import registry_auth
from wardian.cli.pflag import CONTENT_TRUST, Flag
from wardian.cli.references import Name, parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation
    from wardian.client import Stream


def pull(invocation: Invocation) -> int:
    text = invocation.args[0]
    name = parse_name(text)
    every = invocation.flag("all-tags")
    if every and (name.tag or name.digest):
        raise Failure("tag can't be used with --all-tags/-a")
    quiet = invocation.flag("quiet")
    if not (every or name.tag or name.digest or quiet):
        print("Using default tag: latest", flush=True)
    pull_image(invocation, text, quiet=quiet, every=every)
    print(f"{name.domain}/{name.path}{_ending(name, every)}")
    return 0


def _ending(name: Name, every: bool) -> str:
    if name.digest:
        return f"@{name.digest}"
    return "" if every else f":{name.tag or 'latest'}"


def pull_image(invocation: Invocation, text: str, quiet: bool = False, every: bool = False, out: int = 1) -> None:
    """Asks the engine to pull (for --platform); progress goes to descriptor `out`. Raises Failure or WardianError."""
    refuse_content_trust(invocation)
    name = parse_name(text)
    tag = name.digest or ("" if every else name.tag or "latest")
    query = {"fromImage": name.repository, "platform": invocation.text("platform") or None, "tag": tag or None}
    headers = {"X-Registry-Auth": registry_auth(name.domain, invocation.settings)}
    with invocation.client.stream("POST", "/images/create", None, query, headers) as stream:
        show_progress(stream, out=out, quiet=quiet)


def refuse_content_trust(invocation: Invocation) -> None:
    """Who asked for signatures to be checked must not take an image that nobody checked for one that was."""
    given = "disable-content-trust" in invocation.parsed.given
    asked = os.environ.get("DOCKER_CONTENT_TRUST", "").lower() in ("1", "t", "true")
    if not invocation.flag("disable-content-trust") or (asked and not given):
        why = "--disable-content-trust=false" if given else "DOCKER_CONTENT_TRUST"
        raise Failure(f"wardian: content trust is not built yet, and {why} asks for it")


def show_progress(stream: Stream, out: int = 1, quiet: bool = False) -> str:
    """Shows docker's stream of progress messages; answers the last `status`. Raises Failure at an error in it."""
    from wardian.cli.progress import make_display

    display = make_display(out, quiet)
    last = ""
    for message in stream.objects():
        if not isinstance(message, dict):
            continue
        error = message.get("errorDetail") or ({"message": message["error"]} if message.get("error") else None)
        if error:
            display.close()
            raise Failure(str(error.get("message") or message.get("error")))
        display.show(message)
        last = str(message.get("status") or last)
    display.close()
    return last


NO_PROGRESS = Flag("quiet", "q", "bool", "", "Do not show progress")
PULL = Command(
    pull,
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    (
        Flag("all-tags", "a", "bool", "", "Fetch every tag of the repository"),
        CONTENT_TRUST,
        Flag("platform", "", "string", "", "Platform of the image (os/arch[/variant])"),
        NO_PROGRESS,
    ),
    least=1,
    most=1,
)
