"""Every route of a plugin with its owner, and what is wrong with it. Litestar itself misses most clashes, or names nobody."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from litestar import Router
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler, WebsocketRouteHandler
from litestar.routes import HTTPRoute
from litestar.utils.path import normalize_path
from msgspec import Struct

from luminai.contracts.errors import ProblemItem
from luminai.contracts.identity import POLICY_KEY, RoutePolicy

_PARAMETER = re.compile(r"\{[^}]*\}")


class RouteEntry(Struct, frozen=True):
    """A route: HTTP method, ``WS`` or ``ASGI``; path as declared; who may call it; where its code stands."""

    method: str
    path: str
    operation: str
    source: str
    policy: RoutePolicy | None


def inventory(plugin: str, handlers: Sequence[Any]) -> list[RouteEntry]:
    """Return all routes of the handlers, the same path and method as often as it is declared."""
    return [entry for handler in handlers for path, one in _routes(handler) for entry in _entries(plugin, path, one)]


def _routes(handler: Any) -> Iterator[tuple[str, Any]]:
    """Give path and route handler of each route. What is not a route handler yet, a controller for one, becomes routes in a router of its own:
    in a common one, Litestar silently lets one of two equal routes win.
    """
    if isinstance(handler, BaseRouteHandler):
        yield from ((normalize_path(path), handler) for path in handler.paths)
        return
    for route in Router(path="/", route_handlers=[handler]).routes:
        for one in route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]:
            if not _is_litestars(one):
                yield route.path, one


def _is_litestars(handler: BaseRouteHandler) -> bool:
    return isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"} and handler.fn.__module__.startswith("litestar")


def _entries(plugin: str, path: str, handler: Any) -> list[RouteEntry]:
    methods = ["WS" if isinstance(handler, WebsocketRouteHandler) else "ASGI"]
    if isinstance(handler, HTTPRouteHandler):
        methods = sorted(handler.http_methods)
    name = getattr(handler, "operation_id", None)
    operation = f"{plugin}.{name if isinstance(name, str) else handler.handler_name.rpartition('.')[2]}"
    return [RouteEntry(method, path, operation, _source(handler.fn), handler.opt.get(POLICY_KEY)) for method in methods]


def check_routes(entries: Sequence[RouteEntry], *, prefixes: Sequence[str], anonymous: bool) -> list[ProblemItem]:
    """Return what is wrong: outside the claimed prefixes, no policy, anonymous without approval, the same slot or operation id twice."""
    problems: list[ProblemItem] = []
    slots: dict[tuple[str, str], RouteEntry] = {}
    operations: dict[str, RouteEntry] = {}
    for entry in entries:
        here = f"{entry.method} {entry.path}"
        if not any(prefix in ("/", entry.path) or entry.path.startswith(f"{prefix}/") for prefix in prefixes):
            claimed = ", ".join(prefixes) or "nothing"
            problems.append(_item(entry, f"{here} lies outside the claimed {claimed}", "Add the prefix to `paths` in the manifest."))
        if entry.policy is None:
            problems.append(_item(entry, f"{here} declares no policy", "Add opt=policy(…) to the handler."))
        elif entry.policy.anonymous and not anonymous:
            problems.append(_item(entry, f"{here} is anonymous", 'The manifest must ask for "anonymous-routes" and config.toml approve it.'))
        elif entry.method == "ASGI" and not entry.policy.anonymous:
            problems.append(_item(entry, f"{here} passes no guard", "Its policy would not be asked: serve it with an HTTP handler such as @get."))
        slot = (entry.method, _PARAMETER.sub("{}", entry.path))
        first = slots.setdefault(slot, entry)
        if first is not entry:
            problems.append(_item(entry, f"{here} is the same route as {first.method} {first.path} at {first.source}", "Keep one of them."))
        same = operations.setdefault(entry.operation, entry)
        if same is not entry and same.source != entry.source:
            problems.append(_item(entry, f"operation id {entry.operation} is taken by {same.source}", "Rename one handler."))
    return problems


def _item(entry: RouteEntry, detail: str, hint: str) -> ProblemItem:
    file, _, line = entry.source.rpartition(":")
    return ProblemItem(detail=detail, hint=hint, file=file, line=int(line or 0), pointer=entry.operation)


def _source(function: Any) -> str:
    """Return ``module.qualname:line`` of a handler."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    return f"{function.__module__}.{function.__qualname__}:{code.co_firstlineno if code else 0}"
