"""What older API versions saw differently: pure functions, one row each, applied around the handlers.

A handler, and everything below it, knows the newest shape only. A row says for which operation it is, below which
version it applies, and what it does to the JSON on its way in or out. Sources: the Engine API's version history
(docs/api/version-history.md of moby).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from wardian.errors import INVALID, WardianError

if TYPE_CHECKING:
    from wardian.server.routes import Route

Version = tuple[int, int]


class Adapter(NamedTuple):
    method: str
    template: str
    below: Version
    adapt: Callable[[Any], Any]


def _set_default(body: Any, name: str, value: str) -> Any:
    host = body.get("HostConfig") or {}
    return body if not isinstance(host, dict) or host.get(name) else {**body, "HostConfig": {**host, name: value}}


def _private_cgroups_were_unknown(body: Any) -> Any:
    """1.41 added CgroupnsMode; before, a container saw its host's."""
    return _set_default(body, "CgroupnsMode", "host")


def _ipc_was_shareable(body: Any) -> Any:
    """1.40 made the daemon's default IpcMode private."""
    return _set_default(body, "IpcMode", "shareable")


def _no_console_size(body: Any) -> Any:
    """1.42 added ConsoleSize to exec; a stray field of an older client means nothing."""
    return {name: value for name, value in body.items() if name != "ConsoleSize"}


def _no_start_interval(body: Any) -> Any:
    """1.44 added Healthcheck.StartInterval."""
    health = body.get("Healthcheck")
    if not isinstance(health, dict) or "StartInterval" not in health:
        return body
    return {**body, "Healthcheck": {name: value for name, value in health.items() if name != "StartInterval"}}


def _creation_was_zero(image: Any) -> Any:
    """1.44 leaves Created out where the image does not say."""
    return {"Created": "0001-01-01T00:00:00Z", **image}


def _virtual_size(image: Any) -> Any:
    """VirtualSize was Size once more; gone in 1.44."""
    return {**image, "VirtualSize": image.get("Size", 0)}


def _virtual_sizes(images: Any) -> Any:
    return [_virtual_size(image) for image in images]


def _virtual_sizes_on_disk(usage: Any) -> Any:
    return {**usage, "Images": _virtual_sizes(usage["Images"])} if usage.get("Images") else usage


def _none_tags(images: Any) -> Any:
    """Before 1.43 an image without a name was listed as <none>:<none>."""
    return [
        image
        if image.get("RepoTags") or image.get("RepoDigests")
        else {**image, "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
        for image in images
    ]


_NO_CONFIG = {
    **dict.fromkeys(("Hostname", "Domainname", "User", "Image", "WorkingDir"), ""),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), False),
    **dict.fromkeys(("Env", "Cmd", "Volumes", "Entrypoint", "OnBuild", "Labels")),
}


def _made_by_container(image: Any) -> Any:
    """Container and ContainerConfig are gone in 1.45; but for commits they had long been empty. docker-compose 1.29
    looks in there."""
    own = image.get("Wardian") or {}
    config = {**_NO_CONFIG, **own.get("ContainerConfig", {})}
    return {"Container": own.get("Container", ""), "ContainerConfig": config, **image}


def _uncounted(images: Any) -> Any:
    """1.51 counts an image's containers in the list."""
    return [{**image, "Containers": -1} for image in images]


def _without(name: str) -> Callable[[Any], Any]:
    return lambda value: {key: one for key, one in value.items() if key != name}


def _submounts_stayed_writable(body: Any) -> Any:
    """1.44 made a read-only mount of `Mounts` read-only with all below it."""
    host = body.get("HostConfig")
    mounts = host.get("Mounts") if isinstance(host, dict) else None
    if not isinstance(mounts, list):
        return body
    return {**body, "HostConfig": {**host, "Mounts": [_writable_below(one) for one in mounts]}}


def _writable_below(mount: Any) -> Any:
    if not isinstance(mount, dict) or mount.get("Type") != "bind" or not mount.get("ReadOnly"):
        return mount
    return {**mount, "BindOptions": {**(mount.get("BindOptions") or {}), "ReadOnlyNonRecursive": True}}


def _endpoints(body: Any) -> dict[str, Any]:
    networking = body.get("NetworkingConfig")
    endpoints = networking.get("EndpointsConfig") if isinstance(networking, dict) else None
    return endpoints if isinstance(endpoints, dict) else {}


def _no_gateway_priorities(body: Any) -> Any:
    """1.48 added GwPriority; before, all endpoints of a new container had the same."""
    endpoints = _endpoints(body)
    if not endpoints:
        return body
    plain = {name: _without("GwPriority")(one) if isinstance(one, dict) else one for name, one in endpoints.items()}
    return {**body, "NetworkingConfig": {**body["NetworkingConfig"], "EndpointsConfig": plain}}


def _one_endpoint(body: Any) -> Any:
    """1.44 let a container be created on several networks."""
    endpoints = _endpoints(body)
    if len(endpoints) > 1:
        message = f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}"
        raise WardianError(INVALID, message, operation="create", subject="NetworkingConfig")
    return body


def _mac_was_the_containers(body: Any) -> Any:
    """1.44 gave endpoints their own MacAddress; before, the container's was that of the one endpoint, whatever
    NetworkMode says."""
    endpoints, wide = _endpoints(body), body.get("MacAddress")
    if not wide or len(endpoints) != 1:
        return body
    [(name, one)] = endpoints.items()
    own = {name: {**(one or {}), "MacAddress": wide}} if one is None or isinstance(one, dict) else endpoints
    return {**_without("MacAddress")(body), "NetworkingConfig": {**body["NetworkingConfig"], "EndpointsConfig": own}}


def _short_id_was_an_alias(container: Any) -> Any:
    """1.45 left what a container is called anyway out of its aliases; DNSNames has it."""
    settings = container.get("NetworkSettings") or {}
    names = (container.get("Id", "")[:12], (container.get("Config") or {}).get("Hostname") or "")
    networks = {
        name: one
        if name in ("bridge", "host", "none", "default")
        else {**one, "Aliases": list(dict.fromkeys(filter(None, (*(one.get("Aliases") or ()), *names))))}
        for name, one in (settings.get("Networks") or {}).items()
    }
    return {**container, "NetworkSettings": {**settings, "Networks": networks}}


REQUESTS = (
    Adapter("POST", "/containers/create", (1, 40), _ipc_was_shareable),
    Adapter("POST", "/containers/create", (1, 41), _private_cgroups_were_unknown),
    Adapter("POST", "/containers/create", (1, 44), _no_start_interval),
    Adapter("POST", "/containers/create", (1, 44), _submounts_stayed_writable),
    Adapter("POST", "/containers/create", (1, 44), _one_endpoint),
    Adapter("POST", "/containers/create", (1, 44), _mac_was_the_containers),
    Adapter("POST", "/containers/create", (1, 48), _no_gateway_priorities),
    # 1.47 added EnableIPv4 of a network; before, all had it
    Adapter("POST", "/networks/create", (1, 47), _without("EnableIPv4")),
    Adapter("POST", "/containers/{id}/exec", (1, 42), _no_console_size),
    Adapter("POST", "/exec/{id}/start", (1, 42), _no_console_size),
)
ANSWERS = (
    Adapter("GET", "/containers/{id}/json", (1, 45), _short_id_was_an_alias),
    Adapter("GET", "/images/json", (1, 51), _uncounted),
    Adapter("GET", "/images/json", (1, 44), _virtual_sizes),
    Adapter("GET", "/images/json", (1, 43), _none_tags),
    Adapter("GET", "/system/df", (1, 44), _virtual_sizes_on_disk),
    Adapter("GET", "/images/{name...}/json", (1, 45), _made_by_container),
    Adapter("GET", "/images/{name...}/json", (1, 44), _virtual_size),
    Adapter("GET", "/images/{name...}/json", (1, 44), _creation_was_zero),
    Adapter("GET", "/info", (1, 49), _without("FirewallBackend")),
    Adapter("GET", "/info", (1, 50), _without("DiscoveredDevices")),
)


def _by_route(rows: tuple[Adapter, ...]) -> dict[tuple[str, str], list[Adapter]]:
    table: dict[tuple[str, str], list[Adapter]] = {}
    for row in rows:
        table.setdefault((row.method, row.template), []).append(row)
    return table


_REQUESTS = _by_route(REQUESTS)
_ANSWERS = _by_route(ANSWERS)


def _apply(table: dict[tuple[str, str], list[Adapter]], route: Route, version: Version, value: Any) -> Any:
    for row in table.get((route.method, route.template), ()):
        if version < row.below:
            value = row.adapt(value)
    return value


def adapt_request(route: Route, version: Version, value: Any) -> Any:
    """A client's JSON body, in the newest shape."""
    return _apply(_REQUESTS, route, version, value) if isinstance(value, dict) else value


def adapt_answer(route: Route, version: Version, value: Any) -> Any:
    """A handler's value, in the shape of `version`."""
    return _apply(_ANSWERS, route, version, value)


def stream_content_type(version: Version, tty: bool) -> str:
    """1.42 gave the framed stream its own name; before, both were called raw."""
    framed = not tty and version >= (1, 42)
    return "application/vnd.docker.multiplexed-stream" if framed else "application/vnd.docker.raw-stream"


def websocket_attaches_all(version: Version) -> bool:
    """Before 1.42 a websocket was attached to all three streams, whatever was asked."""
    return version < (1, 42)


def websocket_says_text(version: Version) -> bool:
    """1.28 made a websocket's messages binary."""
    return version < (1, 28)


def lists_containers_of_networks(version: Version) -> bool:
    """Since 1.28 only a network's own description names the containers on it."""
    return version < (1, 28)


def prune_filters_of_volumes(version: Version, filters: dict[str, list[str]]) -> dict[str, list[str]]:
    """Since 1.42 a prune leaves volumes that have a name, unless it is asked for all."""
    return {**filters, "all": ["true"]} if version < (1, 42) else filters


def wait_condition(version: Version, asked: str) -> str:
    """1.30 added the condition of `wait`."""
    return asked if asked and version >= (1, 30) else "not-running"
