"""Questions to a registry whose answers are not kept. What they are asked with is imported when one is: urllib3 comes
with it, 60 ms and 14 MB that an engine may never need."""

from collections.abc import Collection, Mapping
from typing import Any

from wardian.images.auth import RegistryAuth
from wardian.images.reference import Reference


def login(auth: RegistryAuth) -> str:
    from wardian.images import login

    return login.login(auth)


def describe(reference: Reference, auth: RegistryAuth | None) -> dict[str, Any]:
    from wardian.images import distribution

    return distribution.describe(reference, auth)


def search(
    term: str, limit: int | None, filters: Mapping[str, Collection[str]], auth: RegistryAuth | None
) -> list[dict[str, Any]]:
    from wardian.images import search

    return search.search(term, limit, filters, auth)
