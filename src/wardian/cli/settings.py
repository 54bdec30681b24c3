"""The person's own settings: config.json of docker's CLI, which `wardian` reads and never writes.

What is read of it: `auths`, `credsStore` and `credHelpers` (credentials, in `pull`), `proxies` (below),
`detachKeys`, `psFormat`, `imagesFormat` and `networksFormat`. `currentContext` is not: it says which engine *docker*
speaks to. A context that --context or DOCKER_CONTEXT names is looked up beside it.
"""

from __future__ import annotations

import os
import sys

from wardian.cli.command import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read_settings(directory: str = "") -> dict[str, Any]:
    """What config.json holds: that in `directory` (--config), DOCKER_CONFIG, or ~/.docker. A broken one is told."""
    path = os.path.join(_directory(directory), "config.json")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        return _broken(path, error)
    from wardian.client import jsontext

    try:
        settings = jsontext.decode(content) if content.strip() else {}
    except ValueError as error:
        return _broken(path, error)
    return settings if isinstance(settings, dict) else _broken(path, "it holds no object")


_PROXIES = {
    "ALL_PROXY": "allProxy",
    "FTP_PROXY": "ftpProxy",
    "HTTPS_PROXY": "httpsProxy",
    "HTTP_PROXY": "httpProxy",
    "NO_PROXY": "noProxy",
}


def add_proxies(environment: list[str], settings: dict[str, Any], host: str) -> list[str]:
    """The environment of a new container with the proxies that `proxies` has for this engine, or for all.

    Each goes under both its names, FTP_PROXY and ftp_proxy, but for those that the person set.
    """
    found = settings["proxies"] if isinstance(settings["proxies"], dict) else {}
    chosen = found.get(host) or found.get("default") or {}
    taken = {line.partition("=")[0] for line in environment}
    added = []
    for name, key in _PROXIES.items():
        if isinstance(chosen, dict) and chosen.get(key):
            added += [f"{one}={chosen[key]}" for one in (name, name.lower()) if one not in taken]
    return environment + added


def _directory(directory: str) -> str:
    return directory or os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def context_host(name: str, directory: str = "") -> str:
    """The engine that a context names (`docker context create`): its file is called by the digest of its name."""
    import hashlib

    from wardian.client import jsontext

    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    path = os.path.join(_directory(directory), "contexts", "meta", digest, "meta.json")
    try:
        with open(path, "rb") as file:
            host = jsontext.decode(file.read())["Endpoints"]["docker"]["Host"]  # type: ignore[index]
    except OSError as error:
        reason = str(error.strerror).lower()
        raise Failure(f'context "{name}": context not found: open {path}: {reason}') from None
    except (ValueError, LookupError, TypeError):
        raise Failure(f'context "{name}": {path} names no engine of docker') from None
    return str(host)


def _broken(path: str, error: object) -> dict[str, Any]:
    sys.stderr.write(f"WARNING: Error parsing config file ({path}): {error}\n")
    return {}
