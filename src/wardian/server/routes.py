"""The route table: one row for every operation of the Docker Engine API 1.51, and Wardian's own below it.

A row says who may (`access`, enforced where a caller's rights are decided), how the connection is used (`kind`), since
which API version, and which handler answers: "module:function" in wardian.server, or "" for what is not built yet
(501).
"""

from typing import NamedTuple

READ, RUN, BUILD, PUSH, ADMIN = "read", "run", "build", "push", "admin"

# plain: one answer. stream: the answer comes in pieces, and a client that leaves ends it. handed over: the raw socket
# goes to a supervisor. upgraded: the raw socket stays in this process (h2c of BuildKit, websockets).
PLAIN, STREAM, HANDED_OVER, UPGRADED = "plain", "stream", "handed over", "upgraded"


class Route(NamedTuple):
    """`template`: `{id}` is one path segment, `{name...}` any number of them (names of images, networks and links have
    slashes)."""

    method: str
    template: str
    handler: str
    access: str
    kind: str = PLAIN
    since: tuple[int, int] = (1, 24)


# of every path that is one, as Docker answers it
OPTIONS = Route("OPTIONS", "/{path...}", "system:options", READ)

_SYSTEM = (
    Route("GET", "/_ping", "system:ping", READ),
    Route("HEAD", "/_ping", "system:ping", READ),
    Route("GET", "/version", "system:version", READ),
    Route("GET", "/info", "system:info", READ),
    Route("GET", "/events", "system:events", READ, STREAM),
    Route("GET", "/system/df", "system:disk_usage", READ, PLAIN, (1, 25)),
    Route("POST", "/auth", "registries:login", PUSH),
)
_CONTAINERS = (
    Route("GET", "/containers/json", "containers:index", READ),
    Route("POST", "/containers/create", "containers:create", RUN),
    Route("POST", "/containers/prune", "containers:prune", RUN, PLAIN, (1, 25)),
    Route("GET", "/containers/{id}/json", "containers:inspect", READ),
    Route("GET", "/containers/{id}/top", "containers:top", READ),
    Route("GET", "/containers/{id}/logs", "containers:logs", READ, STREAM),
    Route("GET", "/containers/{id}/changes", "archive:changes", READ),
    Route("GET", "/containers/{id}/export", "archive:export", READ, STREAM),
    Route("GET", "/containers/{id}/stats", "containers:stats", READ, STREAM),
    Route("GET", "/containers/{id}/attach/ws", "containers:attach_websocket", RUN, UPGRADED),
    Route("POST", "/containers/{id}/attach", "containers:attach", RUN, HANDED_OVER),
    Route("POST", "/containers/{id}/wait", "containers:wait", READ, STREAM),
    Route("POST", "/containers/{id}/start", "containers:start", RUN),
    Route("POST", "/containers/{id}/stop", "containers:stop", RUN),
    Route("POST", "/containers/{id}/restart", "containers:restart", RUN),
    Route("POST", "/containers/{id}/kill", "containers:kill", RUN),
    Route("POST", "/containers/{id}/pause", "containers:pause", RUN),
    Route("POST", "/containers/{id}/unpause", "containers:unpause", RUN),
    Route("POST", "/containers/{id}/resize", "containers:resize", RUN),
    Route("POST", "/containers/{id}/rename", "containers:rename", RUN),
    Route("POST", "/containers/{id}/update", "containers:update", RUN),
    Route("HEAD", "/containers/{id}/archive", "archive:stat", READ),
    Route("GET", "/containers/{id}/archive", "archive:download", READ, STREAM),
    Route("PUT", "/containers/{id}/archive", "archive:upload", RUN),
    Route("GET", "/containers/{id}/checkpoints", "absent:checkpoints", READ),
    Route("POST", "/containers/{id}/checkpoints", "", RUN),
    Route("DELETE", "/containers/{id}/checkpoints/{checkpoint}", "", RUN),
    Route("DELETE", "/containers/{id...}", "containers:remove", RUN),
)
_EXECS = (
    Route("POST", "/containers/{id}/exec", "execs:create", RUN),
    Route("POST", "/exec/{id}/start", "execs:start", RUN, HANDED_OVER),
    Route("POST", "/exec/{id}/resize", "execs:resize", RUN),
    Route("GET", "/exec/{id}/json", "execs:inspect", READ),
)
_IMAGES = (
    Route("GET", "/images/json", "images:index", READ),
    Route("POST", "/images/create", "images:create", RUN, STREAM),
    Route("POST", "/images/load", "images:load", RUN, STREAM),
    Route("POST", "/images/prune", "images:prune", RUN, PLAIN, (1, 25)),
    Route("GET", "/images/search", "registries:search", READ),
    Route("GET", "/images/get", "images:save", READ, STREAM),
    Route("GET", "/images/{name...}/get", "images:save", READ, STREAM),
    Route("GET", "/images/{name...}/json", "images:inspect", READ),
    Route("GET", "/images/{name...}/history", "images:history", READ),
    Route("POST", "/images/{name...}/tag", "images:tag", RUN),
    Route("POST", "/images/{name...}/push", "images:push", PUSH, STREAM),
    Route("DELETE", "/images/{name...}", "images:remove", RUN),
    Route("GET", "/distribution/{name...}/json", "registries:distribution", READ, PLAIN, (1, 30)),
    Route("POST", "/commit", "archive:commit", BUILD),
    Route("POST", "/build", "", BUILD, STREAM),
    Route("POST", "/build/prune", "system:prune_builds", BUILD, PLAIN, (1, 31)),
    Route("POST", "/build/cancel", "", BUILD, PLAIN, (1, 39)),
    Route("POST", "/session", "", BUILD, UPGRADED, (1, 31)),
    Route("POST", "/grpc", "", BUILD, UPGRADED, (1, 39)),
)
_NETWORKS = (
    Route("GET", "/networks", "networks:index", READ),
    Route("POST", "/networks/create", "networks:create", RUN),
    Route("POST", "/networks/prune", "networks:prune", RUN, PLAIN, (1, 25)),
    Route("GET", "/networks/{id...}", "networks:inspect", READ),
    Route("DELETE", "/networks/{id...}", "networks:remove", RUN),
    Route("POST", "/networks/{id...}/connect", "networks:connect", RUN),
    Route("POST", "/networks/{id...}/disconnect", "networks:disconnect", RUN),
)
_VOLUMES = (
    Route("GET", "/volumes", "volumes:index", READ),
    Route("POST", "/volumes/create", "volumes:create", RUN),
    Route("POST", "/volumes/prune", "volumes:prune", RUN, PLAIN, (1, 25)),
    Route("GET", "/volumes/{name...}", "volumes:inspect", READ),
    Route("PUT", "/volumes/{name...}", "volumes:update", RUN, PLAIN, (1, 42)),
    Route("DELETE", "/volumes/{name...}", "volumes:remove", RUN),
)
_PLUGINS = (
    Route("GET", "/plugins", "absent:plugins", READ, PLAIN, (1, 25)),
    Route("GET", "/plugins/privileges", "", READ, PLAIN, (1, 25)),
    Route("POST", "/plugins/pull", "", ADMIN, STREAM, (1, 25)),
    Route("POST", "/plugins/create", "", ADMIN, PLAIN, (1, 25)),
    Route("GET", "/plugins/{name...}/json", "absent:plugin", READ, PLAIN, (1, 25)),
    Route("POST", "/plugins/{name...}/enable", "absent:plugin", ADMIN, PLAIN, (1, 25)),
    Route("POST", "/plugins/{name...}/disable", "absent:plugin", ADMIN, PLAIN, (1, 25)),
    Route("POST", "/plugins/{name...}/upgrade", "absent:plugin", ADMIN, PLAIN, (1, 26)),
    Route("POST", "/plugins/{name...}/push", "absent:plugin", PUSH, PLAIN, (1, 25)),
    Route("POST", "/plugins/{name...}/set", "absent:plugin", ADMIN, PLAIN, (1, 25)),
    Route("DELETE", "/plugins/{name...}", "absent:plugin", ADMIN, PLAIN, (1, 25)),
)
_SWARM = (
    Route("GET", "/swarm", "absent:swarm", READ),
    Route("POST", "/swarm/init", "", ADMIN),
    Route("POST", "/swarm/join", "", ADMIN),
    Route("POST", "/swarm/leave", "absent:swarm_member", ADMIN),
    Route("POST", "/swarm/update", "absent:swarm", ADMIN),
    Route("GET", "/swarm/unlockkey", "absent:swarm", ADMIN),
    Route("POST", "/swarm/unlock", "absent:swarm_member", ADMIN),
    Route("GET", "/nodes", "absent:swarm", READ),
    Route("GET", "/nodes/{id}", "absent:swarm", READ),
    Route("DELETE", "/nodes/{id}", "absent:swarm", ADMIN),
    Route("POST", "/nodes/{id}/update", "absent:swarm", ADMIN),
    Route("GET", "/services", "absent:swarm", READ),
    Route("POST", "/services/create", "absent:swarm", RUN),
    Route("GET", "/services/{id}", "absent:swarm", READ),
    Route("DELETE", "/services/{id}", "absent:swarm", RUN),
    Route("POST", "/services/{id}/update", "absent:swarm", RUN),
    Route("GET", "/services/{id}/logs", "absent:swarm", READ, PLAIN, (1, 29)),
    Route("GET", "/tasks", "absent:swarm", READ),
    Route("GET", "/tasks/{id}", "absent:swarm", READ),
    Route("GET", "/tasks/{id}/logs", "absent:swarm", READ, PLAIN, (1, 29)),
    Route("GET", "/secrets", "absent:swarm", READ, PLAIN, (1, 25)),
    Route("POST", "/secrets/create", "absent:swarm", RUN, PLAIN, (1, 25)),
    Route("GET", "/secrets/{id}", "absent:swarm", READ, PLAIN, (1, 25)),
    Route("DELETE", "/secrets/{id}", "absent:swarm", RUN, PLAIN, (1, 25)),
    Route("POST", "/secrets/{id}/update", "absent:swarm", RUN, PLAIN, (1, 25)),
    Route("GET", "/configs", "absent:swarm", READ, PLAIN, (1, 30)),
    Route("POST", "/configs/create", "absent:swarm", RUN, PLAIN, (1, 30)),
    Route("GET", "/configs/{id}", "absent:swarm", READ, PLAIN, (1, 30)),
    Route("DELETE", "/configs/{id}", "absent:swarm", RUN, PLAIN, (1, 30)),
    Route("POST", "/configs/{id}/update", "absent:swarm", RUN, PLAIN, (1, 30)),
)
# Not Docker's: unversioned, for our own command.
_WARDIAN = (
    Route("POST", "/wardian/plan", "own:plan", RUN),
    Route("GET", "/wardian/containers/{id}/explain", "own:explain", READ),
    Route("GET", "/metrics", "metrics:show", READ),
    Route("POST", "/wardian/shutdown", "own:shutdown", ADMIN),
)

SECTIONS: tuple[tuple[str, tuple[Route, ...]], ...] = (
    ("System", _SYSTEM),
    ("Containers", _CONTAINERS),
    ("Execs", _EXECS),
    ("Images and builds", _IMAGES),
    ("Networks", _NETWORKS),
    ("Volumes", _VOLUMES),
    ("Plugins", _PLUGINS),
    ("Swarm", _SWARM),
    ("Wardian's own", _WARDIAN),
)
ROUTES = tuple(route for _, section in SECTIONS for route in section)
