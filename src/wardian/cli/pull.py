"""`pull`, and what run and import share with it: the credentials of a registry, and the progress of a transfer."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag
from wardian.cli.references import Name, parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.client import Stream

_HELPER_SECONDS = 60.0  # it may ask a person for a password, and nobody may be there
_HUB_KEY = "https://index.docker.io/v1/"


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
    name = parse_name(text)
    tag = name.digest or ("" if every else name.tag or "latest")
    query = {"fromImage": name.repository, "platform": invocation.text("platform") or None, "tag": tag or None}
    headers = {"X-Registry-Auth": registry_auth(name.domain, invocation.settings)}
    with invocation.client.stream("POST", "/images/create", None, query, headers) as stream:
        show_progress(stream, out=out, quiet=quiet)


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


def registry_auth(domain: str, settings: dict[str, Any]) -> str:
    """The X-Registry-Auth of a registry: what `login` left in the settings for just this one, or {}."""
    from wardian.client import jsontext

    return _base64url(jsontext.encode(_credentials(settings, _HUB_KEY if domain == "docker.io" else domain)))


def _base64url(data: bytes) -> str:
    import binascii

    return binascii.b2a_base64(data, newline=False).decode().replace("+", "-").replace("/", "_")


def _credentials(config: dict[str, Any], key: str) -> dict[str, str]:
    helpers = config.get("credHelpers")
    helper = (helpers.get(key) if isinstance(helpers, dict) else None) or config.get("credsStore")
    if helper:
        return _from_helper(str(helper), key)
    entries = config.get("auths")
    entry = entries.get(key) if isinstance(entries, dict) else None
    if not isinstance(entry, dict):
        return {}
    found = {"serveraddress": key}
    if entry.get("identitytoken"):
        return {**found, "identitytoken": str(entry["identitytoken"])}
    if entry.get("auth"):
        import binascii

        user, _, password = binascii.a2b_base64(str(entry["auth"])).decode("utf-8", "replace").partition(":")
        return {"username": user, "password": password.rstrip("\0"), **found}
    return {}


def _from_helper(helper: str, key: str) -> dict[str, str]:
    """Docker's credential helper protocol: `docker-credential-NAME get` reads the key and answers JSON."""
    import subprocess

    from wardian.client import jsontext

    try:
        got = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=key.encode(),
            capture_output=True,
            check=True,
            timeout=_HELPER_SECONDS,
        )
        answer = jsontext.decode(got.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"WARNING: no credentials from docker-credential-{helper}: {error}\n")
        return {}
    if not isinstance(answer, dict) or not answer.get("Secret"):
        return {}
    user, secret = str(answer.get("Username", "")), str(answer["Secret"])
    if user == "<token>":
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": user, "password": secret, "serveraddress": key}


PULL = Command(
    pull,
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    (
        Flag("all-tags", "a", "bool", "", "Fetch every tag of the repository"),
        Flag(
            "disable-content-trust",
            "",
            "bool",
            "",
            "Accepted as Docker has it; has no effect",
            default=True,
            hidden=True,
        ),
        Flag("platform", "", "string", "", "Platform of the image (os/arch[/variant])"),
        Flag("quiet", "q", "bool", "", "Do not show progress"),
    ),
    least=1,
    most=1,
)
