"""Networks as the API's calls want them, with the containers that are on them."""

from typing import Any

from wardian.engine.filters import Filters
from wardian.engine.parts import Parts

Bodies = list[dict[str, Any]]


class Networks:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list(self, filters: Filters | None = None) -> Bodies:
        return self._parts.networks.list(filters or {})

    def inspect(self, ref: str) -> dict[str, Any]:
        attached = {container.id: (container.id, container.name) for container in self._parts.registry}
        return self._parts.networks.inspect(ref, attached)
