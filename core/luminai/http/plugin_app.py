"""One small Litestar app a plugin, so that one plugin can be built, swapped and dropped without touching another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.datastructures import State

from luminai.http.guard import Authenticate, guard
from luminai.http.problems import handle_exception


def build_app(plugin: str, handlers: Sequence[Any], *, authenticate: Authenticate, max_body_bytes: int) -> Litestar:
    """Return the plugin's app: its handlers inside a host-made router that brings tags, guard, limits and problems."""
    router = Router(
        path="/",
        route_handlers=list(handlers),
        tags=[plugin],
        before_request=guard(authenticate),
        request_max_body_size=max_body_bytes,
    )
    return Litestar.from_config(
        AppConfig(
            route_handlers=[router],
            exception_handlers={Exception: handle_exception},
            openapi_config=None,
            logging_config=None,
            debug=False,
            state=State(),
            pdb_on_exception=False,
        )
    )
