"""The tags that a registry has of a repository (distribution-spec, "Listing Tags"), page by page."""

import json
import re

from wardian.errors import NOT_FOUND, SYSTEM, WardianError
from wardian.images.reference import Reference
from wardian.images.registry import RegistryClient

_MOST, _PAGES = 10_000, 200  # a registry that lists for ever, be it nothing, is believed no longer
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


def list_tags(client: RegistryClient, reference: Reference) -> list[str]:
    """Raises WardianError, also for a repository without any."""
    path, found = f"/v2/{reference.path}/tags/list", list[str]()
    for _ in range(_PAGES):
        said = client.ask("GET", path)
        found += _tags_in(said.data, reference)
        following = _NEXT.search(said.headers.get("link", ""))
        if following is None or len(found) >= _MOST:
            break
        path = client.beside(path, following[1])
    if not found:
        message = f"registry {reference.domain} has no tags of {reference.path}"
        raise WardianError(NOT_FOUND, message, operation="pull", subject=reference.familiar_name)
    return found


def _tags_in(data: bytes, reference: Reference) -> list[str]:
    try:
        listed = json.loads(data)["tags"] or []
        if not all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in listed):
            raise ValueError("not tags")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"registry {reference.domain} lists no tags of {reference.path}: {error}"
        raise WardianError(SYSTEM, message, operation="pull", subject=reference.familiar_name) from error
    return list(listed)
