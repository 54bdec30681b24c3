"""POST /auth: are these credentials good for a registry? Nothing of them is kept: the client does that."""

from urllib.parse import urlsplit

from wardian.errors import INVALID, WardianError
from wardian.images.auth import RegistryAuth
from wardian.images.reference import DEFAULT_DOMAIN, Reference, parse_reference
from wardian.images.refusals import LOGIN
from wardian.images.registry import RegistryClient


def login(auth: RegistryAuth) -> str:
    """Ask the registry (worker thread); returns an identity token where its token server gives one. Raises UNAUTHORIZED
    and what else keeps it from saying yes."""
    client = RegistryClient(Reference(registry_domain(auth.server), ""), auth._replace(server=""), LOGIN)
    try:
        client.ask("GET", "/v2/")
        return client.identity_token
    finally:
        client.close()


def registry_domain(server: str) -> str:
    """The domain that references to this server's images begin with. Raises INVALID."""
    host = urlsplit(server if "://" in server else f"//{server}").netloc
    if host in ("", "index.docker.io", "registry-1.docker.io", DEFAULT_DOMAIN):
        return DEFAULT_DOMAIN
    if parse_reference(f"{host}/x").domain != host:
        raise WardianError(INVALID, f"invalid registry {server[:200]!r}", operation="login", subject=server)
    return host
