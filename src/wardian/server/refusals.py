"""Why an operation that has no handler is refused: one reason for the rows of a subject. docs/api.md shows them too."""

from wardian.server.routes import Route

_REASONS = (
    ("/containers/{id}/checkpoints", "checkpoints need CRIU, which is not built in"),
    ("/build", "no image is built from a Dockerfile yet"),
    ("/session", "no image is built from a Dockerfile yet"),
    ("/grpc", "no image is built from a Dockerfile yet"),
    ("/plugins", "drivers are Wardian's own; plugins of Docker's kind are not run"),
    ("/swarm", "a Wardian is no node of a swarm"),
)


def reason(route: Route) -> str:
    """ "" where there is none but that it is not built yet."""
    return next((why for prefix, why in _REASONS if route.template.startswith(prefix)), "")
