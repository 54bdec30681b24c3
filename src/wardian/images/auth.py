"""Credentials for a registry, as docker's clients hand them over with each request. Never stored, never shown."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class RegistryAuth(NamedTuple):
    """Credentials as a docker client sends them (X-Registry-Auth). `server` is what they were given for, or empty."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    server: str = ""

    def is_for(self, domain: str) -> bool:
        """Whether they were given for this registry; without a server they are for whatever was asked."""
        if not self.server:
            return True
        host = urlsplit(self.server if "://" in self.server else f"//{self.server}").netloc
        return ("docker.io" if host == "index.docker.io" else host) == domain


def auth_from_api(fields: Mapping[str, Any] | None) -> RegistryAuth | None:
    """From the decoded X-Registry-Auth object; None when it says nothing."""
    if not fields:
        return None
    username, password = str(fields.get("username") or ""), str(fields.get("password") or "")
    if not username and fields.get("auth"):
        decoded = base64.b64decode(str(fields["auth"])).decode(errors="replace")
        username, _, password = decoded.partition(":")
    tokens = (str(fields.get("identitytoken") or ""), str(fields.get("registrytoken") or ""))
    auth = RegistryAuth(username, password, *tokens, str(fields.get("serveraddress") or ""))
    return auth if any(auth[:4]) else None
