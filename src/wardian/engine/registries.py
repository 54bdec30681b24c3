"""What is asked of registries and kept nowhere: login, search, what they have under a name. In worker threads."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from wardian.engine.filters import Filters
from wardian.engine.workers import work
from wardian.errors import INVALID, WardianError
from wardian.images import ask, auth_from_api, parse_reference

Result = TypeVar("Result")


class Registries:
    async def login(self, body: Mapping[str, Any]) -> dict[str, str]:
        """POST /auth."""
        auth = auth_from_api(body)
        if auth is None:
            raise WardianError(INVALID, "no credentials to sign in with", operation="login")
        token = await _asked(lambda: ask.login(auth))
        return {"IdentityToken": token, "Status": "Login Succeeded"}

    async def describe(self, name: str, auth: Mapping[str, Any] | None) -> dict[str, Any]:
        """GET /distribution/{name}/json."""
        reference = parse_reference(name).with_default_tag()
        credentials = auth_from_api(auth)
        return await _asked(lambda: ask.describe(reference, credentials))

    async def search(
        self, term: str, limit: int | None, filters: Filters, auth: Mapping[str, Any] | None
    ) -> list[dict[str, Any]]:
        """GET /images/search."""
        credentials = auth_from_api(auth)
        return await _asked(lambda: ask.search(term, limit, filters, credentials))


async def _asked(question: Callable[[], Result]) -> Result:
    return await work(lambda _: question(), lambda _: None, "wardian-registry")
