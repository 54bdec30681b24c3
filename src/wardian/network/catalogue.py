"""The networks as users know them: none, host and bridge, listed and described in the API's shape (1.51)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.database import Database
from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.home import Home
from wardian.network.bridge import BridgeNetwork
from wardian.network.state import NetworkRow, NetworkState


class Network(NamedTuple):
    """A network's name, stable id and driver: "bridge", "host" or "null"."""

    name: str
    id: str
    driver: str


class Networks:
    """All networks of an engine. Methods are called in the loop's thread."""

    def __init__(self, home: Home, database: Database) -> None:
        self.bridge = BridgeNetwork(home, database)
        self._rows: list[NetworkState] = [
            self.bridge.state,
            NetworkState(database, "host", "host"),
            NetworkState(database, "none", "null"),
        ]

    async def start(self) -> None:
        """Idempotent; what lives is kept."""
        await self.bridge.start()

    async def stop(self, purge: bool | None = None) -> None:
        """`purge` removes the bridge, its rules and its table; None removes them unless a sandbox is still on it."""
        await self.bridge.stop(purge)

    def recover(self, live: Collection[str]) -> list[str]:
        """Forget the endpoints of sandboxes that are not in `live`; returns whose they were.

        Called before `start`, it also frees the subnet of an engine that nobody lives on any more.
        """
        return self.bridge.recover(live)

    def info(self) -> list[str]:
        return self.bridge.info()

    def network(self, mode: str) -> Network:
        """The network of a `NetworkMode`, a name, an id or its beginning. Raises NOT_FOUND in Docker's words."""
        name = "bridge" if mode in ("default", "") else mode
        row = self._find(name)
        return Network(row.name, row.id, row.driver)

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """`GET /networks`. Raises INVALID on a filter that is not one."""
        chosen = [state.row for state in self._rows]
        for key, values in (filters or {}).items():
            if key not in _FILTERS:
                raise WardianError(INVALID, f"invalid filter '{key}'", operation="list networks", subject=key)
            chosen = [row for row in chosen if any(_FILTERS[key](row, value) for value in values)]
        return [self._describe(row) | {"Containers": {}} for row in chosen]

    def inspect(self, ref: str, attached: Mapping[str, tuple[str, str]] | None = None) -> dict[str, Any]:
        """`GET /networks/{id}`. `attached` maps a sandbox's id to its container's id and name."""
        row = self._find(ref)
        containers = {}
        state = next(state for state in self._rows if state.row.id == row.id)
        for endpoint in state.endpoints():
            container, name = (attached or {}).get(endpoint.sandbox, (endpoint.sandbox, ""))
            assert state.subnet is not None
            containers[container] = {
                "Name": name,
                "EndpointID": endpoint.id,
                "MacAddress": endpoint.mac,
                "IPv4Address": f"{endpoint.address}/{state.subnet.prefixlen}",
                "IPv6Address": "",
            }
        return self._describe(row) | {"Containers": containers}

    def _find(self, ref: str) -> NetworkRow:
        rows = [state.row for state in self._rows]
        for matches in (
            [row for row in rows if row.name == ref or row.id == ref],
            [row for row in rows if ref and row.id.startswith(ref)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise WardianError(
                    INVALID, f"network {ref} is ambiguous ({len(matches)} matches found based on ID prefix)"
                )
        raise WardianError(NOT_FOUND, f"network {ref} not found", operation="find network", subject=ref)

    def _describe(self, row: NetworkRow) -> dict[str, Any]:
        is_bridge = row.driver == "bridge"
        config = [{"Subnet": str(self.bridge.subnet), "Gateway": self.bridge.gateway}] if is_bridge else None
        return {
            "Name": row.name,
            "Id": row.id,
            "Created": row.created,
            "Scope": "local",
            "Driver": row.driver,
            "EnableIPv4": True,
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Options": None, "Config": config if self.bridge.subnet else None},
            "Internal": False,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Options": _bridge_options(self.bridge.link) if is_bridge else {},
            "Labels": {},
        }


def _bridge_options(link: str) -> dict[str, str]:
    return {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": link,
        "com.docker.network.driver.mtu": "1500",
    }


# Ours are all predefined, so `dangling` finds none of them and `type=builtin` all; they have no labels.
_FILTERS: Mapping[str, Callable[[NetworkRow, str], bool]] = {
    "name": lambda row, value: value in row.name,
    "id": lambda row, value: row.id.startswith(value),
    "driver": lambda row, value: row.driver == value,
    "scope": lambda row, value: value == "local",
    "type": lambda row, value: value == "builtin",
    "label": lambda row, value: False,
    "dangling": lambda row, value: value.lower() in ("false", "0"),
}
