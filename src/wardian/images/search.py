"""GET /images/search: what Docker Hub's search, or another registry's of that API, answers."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote_plus

import urllib3

from wardian.errors import INVALID, SYSTEM, WardianError
from wardian.images.auth import RegistryAuth
from wardian.images.connections import connections, is_loopback
from wardian.images.refusals import json_object
from wardian.images.unreachable import failure

_HUB = "index.docker.io"
_KNOWN = ("is-automated", "is-official", "stars")
_DEFAULT_LIMIT, _MOST = 25, 100
_ANSWER_LIMIT = 4 << 20

Filters = Mapping[str, Collection[str]]


def search(term: str, limit: int | None, filters: Filters, auth: RegistryAuth | None = None) -> list[dict[str, Any]]:
    """Worker thread. Raises INVALID for what is asked wrongly, SYSTEM where there is no answer."""
    wanted = _wanted(filters)
    count = limit or _DEFAULT_LIMIT
    if not 1 <= count <= _MOST:
        raise WardianError(INVALID, f"limit {count} is outside the range of [1, {_MOST}]", operation="search")
    host, name = _index(term)
    base = f"{'http' if is_loopback(host) else 'https'}://{host}"
    found = _ask(f"{base}/v1/search?q={quote_plus(name)}&n={count}", auth if auth and auth.is_for(host) else None)
    return [one for one in found if isinstance(one, dict) and _fits(one, wanted)]


def _index(term: str) -> tuple[str, str]:
    """A term may name its registry, as an image does."""
    host, slash, rest = term.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost") and host != "docker.io":
        return host, rest
    return _HUB, (rest if host == "docker.io" and slash else term).removeprefix("library/")


def _ask(url: str, auth: RegistryAuth | None) -> list[Any]:
    pool = connections(url)
    headers = {"X-Docker-Token": "true"}
    if auth is not None and auth.username:
        headers |= urllib3.make_headers(basic_auth=f"{auth.username}:{auth.password}")
    try:
        response = pool.request("GET", url, headers=headers, redirect=auth is None, preload_content=False)
        data = response.read(_ANSWER_LIMIT)
        status = response.status
        response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        text, number = failure(error, url)
        raise WardianError(SYSTEM, f'Get "{url}": {text}', operation="search", errno=number) from error
    finally:
        pool.clear()
    if status != 200:
        raise WardianError(SYSTEM, f"Unexpected status code {status}", operation="search", subject=url)
    found = json_object(data).get("results")
    return found if isinstance(found, list) else []


def _wanted(filters: Filters) -> dict[str, bool | int]:
    wanted: dict[str, bool | int] = {}
    for key, values in filters.items():
        if key not in _KNOWN:
            raise WardianError(INVALID, f"invalid filter '{key}'", operation="search", subject=key)
        for value in values:
            if key == "stars":
                if not value.isdecimal():
                    raise WardianError(INVALID, f"invalid filter 'stars={value}'", operation="search", subject=key)
                wanted[key] = max(int(value), int(wanted.get(key, 0)))
            elif value.lower() in ("true", "1", "false", "0"):
                wanted[key] = value.lower() in ("true", "1")
            else:
                raise WardianError(INVALID, f"invalid filter '{key}=[{value}]'", operation="search", subject=key)
    return wanted


def _fits(one: Mapping[str, Any], wanted: Mapping[str, bool | int]) -> bool:
    """Nothing is built automatically any more: Docker answers is-automated=true with nothing."""
    if wanted.get("is-automated"):
        return False
    if "is-official" in wanted and bool(one.get("is_official")) != wanted["is-official"]:
        return False
    stars = one.get("star_count")
    return (stars if isinstance(stars, int) else 0) >= wanted.get("stars", 0)
