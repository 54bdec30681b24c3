"""What this engine and this host are, for the API's system calls."""

from collections.abc import Sequence
from typing import Any

import wardian
from wardian.engine.observe import disk_usage, info, metrics
from wardian.engine.parts import Parts


class System:
    def __init__(self, parts: Parts, identity: str) -> None:
        self._parts = parts
        self._identity = identity

    def ping(self) -> dict[str, str]:
        return {
            "Api-Version": info.API_VERSION,
            "Builder-Version": "1",
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Swarm": "inactive",
            "Server": f"Wardian/{wardian.__version__} (linux)",
        }

    def version(self) -> dict[str, Any]:
        return info.version()

    def info(self) -> dict[str, Any]:
        return info.info(self._parts, self._identity)

    def metrics(self) -> list[metrics.Family]:
        return metrics.families(self._parts, self._identity)

    def disk_usage(self, kinds: Sequence[str] = ()) -> dict[str, Any]:
        return disk_usage.disk_usage(self._parts, kinds)

    def prune_builds(self) -> dict[str, Any]:
        """Nothing is built yet, so nothing is kept of it."""
        return {"CachesDeleted": None, "SpaceReclaimed": 0}
