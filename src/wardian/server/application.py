"""What all connections of a server share: the engine, the router, the handlers, the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from wardian import __version__
from wardian.server import MAX_API_VERSION
from wardian.server.callers import Policy
from wardian.server.heads import encode_fields
from wardian.server.messages import Handler
from wardian.server.metrics import Times
from wardian.server.routes import ROUTES, Route
from wardian.server.routing import Router, format_version
from wardian.server.users import UserNames

if TYPE_CHECKING:
    from wardian.engine import Engine
    from wardian.server.connection import Connection


class Application:
    """`shut_down` asks the server to end, when the answer under way is out."""

    def __init__(self, engine: Engine, shut_down: Callable[[], None], policy: Policy | None = None) -> None:
        self.engine = engine
        self.policy = policy or Policy({})
        self.users = UserNames()
        self.shut_down = shut_down
        self.router = Router(ROUTES)
        self.connections: set[Connection] = set()
        self.times = Times()
        self.fields = encode_fields((
            ("Api-Version", format_version(MAX_API_VERSION)),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Server", f"Wardian/{__version__} (linux)"),
        ))  # fmt: skip
        self._handlers: dict[str, Handler] = {}

    def handler(self, route: Route) -> Handler:
        """The function that a row names; its module is imported when it is first asked for."""
        handler = self._handlers.get(route.handler)
        if handler is None:
            handler = self._handlers[route.handler] = resolve_handler(route.handler)
        return handler


def resolve_handler(name: str) -> Handler:
    module, _, function = name.partition(":")
    handler: Handler = getattr(import_module(f"wardian.server.{module}"), function)
    return handler
