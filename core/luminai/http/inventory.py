"""Every route of a plugin with its owner, and what is wrong with it. Litestar itself misses most clashes, or names nobody."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct

from luminai.contracts.errors import ProblemItem
from luminai.contracts.identity import POLICY_KEY, RoutePolicy

_RAW = ("ASGI", "WS")
"""Handlers that Litestar runs without ``before_request``, which is where policies are checked."""
_PARAMETER = re.compile(r"\{[^}]*\}")


class RouteEntry(Struct, frozen=True):
    """A route: HTTP method, ``WS`` or ``ASGI``; path as declared; who may call it; where its code stands."""

    method: str
    path: str
    operation: str
    source: str
    policy: RoutePolicy | None


def inventory(plugin: str, handlers: Sequence[Any]) -> list[RouteEntry]:
    """Return all routes of the handlers, the same path and method as often as it is declared.

    Each handler is registered in a router of its own: in a common one, Litestar silently lets one of two equal routes win.
    """
    entries: list[RouteEntry] = []
    for handler in handlers:
        for route in Router(path="/", route_handlers=[handler]).routes:
            found = route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
            for one in found:
                methods = sorted(one.http_methods) if isinstance(one, HTTPRouteHandler) else ["WS" if "websocket" in type(one).__name__ else "ASGI"]
                if methods == ["OPTIONS"] and one.fn.__module__.startswith("litestar"):
                    continue
                name = getattr(one, "operation_id", None)
                operation = f"{plugin}.{name if isinstance(name, str) else one.handler_name.rpartition('.')[2]}"
                policy = one.opt.get(POLICY_KEY)
                entries += [RouteEntry(method, route.path, operation, _source(one.fn), policy) for method in methods]
    return entries


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
        elif entry.method in _RAW and not entry.policy.anonymous:
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
