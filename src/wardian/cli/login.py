"""`login` and `logout`: who we are to a registry."""

from __future__ import annotations

import os
import sys

from wardian.cli.command import Command, Failure, error_text
from wardian.cli.credentials import HUB, credentials, drop, hostname, keep
from wardian.cli.pflag import Flag
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation


def login(invocation: Invocation) -> int:
    server = _server(invocation)
    user, password = _given(invocation)
    if not user and not password and (kept := credentials(invocation.settings, server)):
        print(f"Authenticating with existing credentials... [Username: {kept.get('username') or '<token>'}]")
        try:
            return _sign_in(invocation, server, kept)
        except WardianError as error:
            if not os.isatty(0):
                raise
            print(f"Login did not succeed, error: {error_text(error)}")
    if not (user and password):
        user, password = _asked_for(user, password)
    return _sign_in(invocation, server, {"username": user, "password": password, "serveraddress": server})


def _server(invocation: Invocation) -> str:
    text = invocation.args[0] if invocation.args else ""
    return HUB if text in ("", "docker.io", HUB) or hostname(text) == hostname(HUB) else hostname(text)


def _given(invocation: Invocation) -> tuple[str, str]:
    user, password = invocation.text("username"), invocation.text("password")
    if invocation.flag("password-stdin"):
        if password:
            raise Failure("--password and --password-stdin are mutually exclusive")
        if not user:
            raise Failure("the --password-stdin option requires --username to be set")
        return user, sys.stdin.read().rstrip("\r\n")
    if password:
        sys.stderr.write("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
    return user, password


def _asked_for(user: str, password: str) -> tuple[str, str]:
    """Asks on the terminal; an empty answer is refused."""
    if not os.isatty(0):
        raise Failure("Error: Cannot perform an interactive login from a non TTY device")
    import getpass

    if not user:
        print("Username: ", end="", flush=True)
        user = sys.stdin.readline().strip()
        if not user:
            raise Failure("Error: Non-null Username Required")
    password = password or getpass.getpass("Password: ")
    if not password:
        raise Failure("Error: Password Required")
    return user, password


def _sign_in(invocation: Invocation, server: str, given: dict[str, str]) -> int:
    answer = invocation.client.call("POST", "/auth", given)
    assert isinstance(answer, dict)
    if answer.get("IdentityToken"):
        given = {**given, "identitytoken": str(answer["IdentityToken"])}
    if "username" in given:
        _write_down(invocation, server, given)
    print(answer.get("Status") or "Login Succeeded")
    return 0


def _write_down(invocation: Invocation, server: str, given: dict[str, str]) -> None:
    from wardian.cli.settings_file import change_settings

    with change_settings(invocation.options.config) as (path, settings):
        kept_by = keep(settings, server, given)
    if not kept_by:
        sys.stderr.write(
            f"\nWARNING! Your credentials are stored unencrypted in '{path}'.\nConfigure a credential helper to remove "
            "this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n"
        )


def logout(invocation: Invocation) -> int:
    from wardian.cli.settings_file import change_settings

    server = _server(invocation)
    print(f"Removing login credentials for {server}", flush=True)
    with change_settings(invocation.options.config) as (_, settings):
        try:
            drop(settings, server)
        except Failure as failure:
            sys.stderr.write(f"WARNING: could not erase credentials:\n{failure.message}\n")
    return 0


LOGIN = Command(
    login,
    "[OPTIONS] [SERVER]",
    (
        Flag("password", "p", "string", "", "Password or token (others on this machine may see it)"),
        Flag("password-stdin", "", "bool", "", "Read the password or token from stdin"),
        Flag("username", "u", "string", "", "Username"),
    ),
    most=1,
)
LOGOUT = Command(logout, "[SERVER]", most=1)
