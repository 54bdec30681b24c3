"""Credentials for registries, where docker's CLI keeps them: config.json's `auths`, or a credential helper.

A helper is a program `docker-credential-NAME` with the verbs get, store and erase: JSON or a server's name on stdin,
JSON on stdout (github.com/docker/docker-credential-helpers). `credHelpers` names one for a server, `credsStore` for
all others.
"""

from __future__ import annotations

import binascii
import sys

from wardian.cli.command import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HUB = "https://index.docker.io/v1/"
_HELPER_SECONDS = 60.0  # it may ask a person for a password, and nobody may be there
_NO_CREDENTIALS = "credentials not found"  # what a helper says where it has none
_DOING = {"get": "getting", "store": "storing", "erase": "erasing"}


def registry_auth(domain: str, settings: dict[str, Any]) -> str:
    """The X-Registry-Auth of a registry: what `login` left for just this one, or {}."""
    from wardian.client import jsontext

    return base64url(jsontext.encode(credentials(settings, HUB if domain == "docker.io" else domain)))


def base64url(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode().replace("+", "-").replace("/", "_")


def credentials(settings: dict[str, Any], key: str) -> dict[str, str]:
    """What is kept for a server, as the API takes it; {} when there is nothing."""
    helper = helper_for(settings, key)
    if helper:
        return _from_helper(helper, key)
    entries = settings.get("auths")
    entry = _entry(entries, key) if isinstance(entries, dict) else None
    return _from_entry(entry, key) if isinstance(entry, dict) else {}


def _from_entry(entry: dict[str, Any], key: str) -> dict[str, str]:
    found = {"serveraddress": key}
    if entry.get("identitytoken"):
        return {**found, "identitytoken": str(entry["identitytoken"])}
    if not entry.get("auth"):
        return {}
    try:
        text = binascii.a2b_base64(str(entry["auth"])).decode("utf-8", "replace")
    except ValueError as error:
        sys.stderr.write(f"WARNING: no credentials for {key}: what config.json has of it is damaged: {error}\n")
        return {}
    user, _, password = text.partition(":")
    return {"username": user, "password": password.rstrip("\0"), **found}


def _entry(entries: dict[str, Any], key: str) -> object:
    """By its very name, or by the host in it, as old files have URLs for names."""
    if key in entries:
        return entries[key]
    return next((entry for name, entry in entries.items() if hostname(name) == hostname(key)), None)


def hostname(server: str) -> str:
    """`https://host:5000/v1/` is host:5000."""
    return server.removeprefix("http://").removeprefix("https://").partition("/")[0]


def helper_for(settings: dict[str, Any], key: str) -> str:
    """The helper that keeps a server's credentials; empty where the file does."""
    helpers = settings.get("credHelpers")
    if isinstance(helpers, dict) and key in helpers:
        return str(helpers[key] or "")  # "" takes this one server out of the store of all
    return str(settings.get("credsStore") or "")


def _from_helper(helper: str, key: str) -> dict[str, str]:
    from wardian.client import jsontext

    try:
        answer = jsontext.decode(call_helper(helper, "get", key.encode()))
    except (Failure, ValueError) as error:
        text = error.message if isinstance(error, Failure) else str(error)
        if _NO_CREDENTIALS not in text:
            sys.stderr.write(f"WARNING: no credentials from docker-credential-{helper}: {text}\n")
        return {}
    if not isinstance(answer, dict) or not answer.get("Secret"):
        return {}
    user, secret = str(answer.get("Username", "")), str(answer["Secret"])
    if user == "<token>":
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": user, "password": secret, "serveraddress": key}


def call_helper(helper: str, verb: str, given: bytes) -> bytes:
    """Runs a helper; its stdout. Raises Failure with what it says."""
    import subprocess

    name, failed = f"docker-credential-{helper}", f"error {_DOING[verb]} credentials - err"
    if "/" in helper:
        raise Failure(f"invalid credential helper {helper!r}: a name without a path")
    try:
        done = subprocess.run([name, verb], input=given, capture_output=True, timeout=_HELPER_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failure(f"{failed}: {error}") from None
    if done.returncode:
        said = (done.stdout or done.stderr).decode("utf-8", "replace").strip()
        raise Failure(f"{failed}: exit status {done.returncode}, out: `{said}`")
    return done.stdout


def keep(settings: dict[str, Any], key: str, given: dict[str, str]) -> str:
    """Keeps what was given for a server: in its helper, whose name is answered, or in `settings`, to be written."""
    helper = helper_for(settings, key)
    if not isinstance(settings.get("auths"), dict):
        settings["auths"] = {}
    entries = settings["auths"]
    if helper:
        from wardian.client import jsontext

        token = given.get("identitytoken")
        user, secret = ("<token>", token) if token else (given["username"], given["password"])
        call_helper(helper, "store", jsontext.encode({"ServerURL": key, "Username": user, "Secret": secret}))
        entries[key] = {}
        return helper
    password = "" if given.get("identitytoken") else given["password"]
    text = f"{given['username']}:{password}".encode()
    entries[key] = {"auth": binascii.b2a_base64(text, newline=False).decode()}
    if given.get("identitytoken"):
        entries[key]["identitytoken"] = given["identitytoken"]
    return ""


def drop(settings: dict[str, Any], key: str) -> None:
    """Forgets a server's, in its helper and in `settings`."""
    helper = helper_for(settings, key)
    if helper:
        call_helper(helper, "erase", key.encode())
    entries = settings.get("auths")
    if isinstance(entries, dict):
        for name in [name for name in entries if name == key or (key != HUB and hostname(name) == hostname(key))]:
            del entries[name]
