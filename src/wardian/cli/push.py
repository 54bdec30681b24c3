"""`push`: an image to its registry."""

from __future__ import annotations

from wardian.cli.command import Command, Failure
from wardian.cli.credentials import registry_auth
from wardian.cli.pflag import CONTENT_TRUST, Flag
from wardian.cli.pull import NO_PROGRESS, refuse_content_trust, show_progress
from wardian.cli.references import parse_name, platform_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation


def push(invocation: Invocation) -> int:
    refuse_content_trust(invocation)
    name = parse_name(invocation.args[0])
    every, quiet = invocation.flag("all-tags"), invocation.flag("quiet")
    if name.digest:
        raise Failure("cannot push a digest reference")
    if every and name.tag:
        raise Failure("tag can't be used with --all-tags/-a")
    if not (every or name.tag or quiet):
        print("Using default tag: latest", flush=True)
    query = {
        "platform": platform_query(invocation.text("platform")),
        "tag": None if every else name.tag or "latest",
    }
    headers = {"X-Registry-Auth": registry_auth(name.domain, invocation.settings)}
    with invocation.client.stream("POST", f"/images/{name.repository}/push", None, query, headers) as stream:
        show_progress(stream, quiet=quiet)
    if quiet:
        ending = "" if every else f":{name.tag or 'latest'}"
        print(f"{name.domain}/{name.path}{ending}")
    return 0


PUSH = Command(
    push,
    "[OPTIONS] NAME[:TAG]",
    (
        Flag("all-tags", "a", "bool", "", "Push every tag of the repository"),
        CONTENT_TRUST,
        Flag("platform", "", "string", "", "Push only this platform (os/arch[/variant])"),
        NO_PROGRESS,
    ),
    least=1,
    most=1,
)
