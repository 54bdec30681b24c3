"""The person's own settings: config.json of docker's CLI. `wardian` reads it here, and writes it in `settings_file`.

What is read of it: `auths`, `credsStore` and `credHelpers` (`credentials`), `proxies` (below),
`detachKeys`, `psFormat`, `imagesFormat` and `networksFormat`. `currentContext` is not: it says which engine *docker*
speaks to. Contexts lie beside it (`context_store`).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


CURRENT = "wardian-context"


def read_settings(directory: str = "") -> dict[str, Any]:
    """What config.json holds: that in `directory` (--config), DOCKER_CONFIG, or ~/.docker. A broken one is told."""
    path = os.path.join(configuration_directory(directory), "config.json")
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


def configuration_directory(directory: str = "") -> str:
    """Where config.json and the contexts are: --config, DOCKER_CONFIG, ~/.docker."""
    return directory or os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def current_context(directory: str) -> str:
    """The context that `wardian context use` named; "default" without one."""
    try:
        with open(os.path.join(directory, CURRENT), encoding="utf-8") as file:
            return file.read().strip() or "default"
    except FileNotFoundError:
        return "default"
    except (OSError, ValueError) as error:
        _broken(os.path.join(directory, CURRENT), error)
        return "default"


def _broken(path: str, error: object) -> dict[str, Any]:
    sys.stderr.write(f"WARNING: Error parsing config file ({path}): {error}\n")
    return {}
