"""One small Litestar app a plugin, so that one plugin can be built, swapped and dropped without touching another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.routes import HTTPRoute, WebSocketRoute

from luminai.http.answers import DataResponse
from luminai.http.body import StrictRequest
from luminai.http.guard import Gate, guard, socket_guard
from luminai.http.problems import allow_header, handle_exception

MAX_PARTS: Final = 50
"""Parts of a multipart body."""


class _OwnRouter(Router):
    """A router made for one app. Litestar copies routers deeply, for those that are registered twice; that is a quarter of building an app."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def build_app(plugin: str, handlers: Sequence[Any], *, gate: Gate, max_body_bytes: int) -> Litestar:
    """Return the plugin's app: its handlers inside a host-made router that brings tags, guard, limits and problems."""
    allowed: dict[str, str] = {}
    router = _OwnRouter(
        path="/",
        route_handlers=list(handlers),
        tags=[plugin],
        request_class=StrictRequest,
        response_class=DataResponse,
        before_request=guard(gate, allowed),
        request_max_body_size=max_body_bytes,
    )
    if any(isinstance(route, WebSocketRoute) for route in router.routes):  # else HTTP handlers too would pay for a Litestar guard, 7 µs
        router.guards = [socket_guard(gate)]
    app = Litestar.from_config(
        AppConfig(
            route_handlers=[router],
            exception_handlers={Exception: handle_exception},
            openapi_config=None,
            logging_config=None,
            debug=False,
            state=State(),
            pdb_on_exception=False,
            multipart_form_part_limit=MAX_PARTS,
        )
    )
    allowed |= {route.path_format: allow_header(route.methods) for route in app.routes if isinstance(route, HTTPRoute)}
    return app
