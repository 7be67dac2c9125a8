"""The core's routes that explain the running hub: the same answers as ``luminai plugins …``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from luminai.contracts.errors import NotFound, Unavailable
from luminai.contracts.identity import policy
from luminai.host import inspect
from luminai.host.difference import PluginChange, compare, side_of
from luminai.host.doctor import Finding, findings
from luminai.host.explain_order import Place, explain_order
from luminai.host.inspect import Cost, DecisionPoint, HookUse, RouteUse, Why
from luminai.host.lockfile import LOCK_FILE, Difference, Lock, make_lock, verify_lock
from luminai.http.pages import Page, page_cursor

if TYPE_CHECKING:
    from luminai.host.hub import Hub

plugin_id = Annotated[str, QueryParameter(max_length=32, pattern=r"^[a-z][a-z0-9-]*\Z", description="Id of an installed plugin.")]
big_page = Annotated[int, QueryParameter(ge=1, le=1000, description="Items a page.")]


def inspect_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_explaining(hub), *_watching(hub), *_comparing(hub)]


def _explaining(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/plugins/doctor", opt=policy("hub:plugins"))
    async def doctor() -> list[Finding]:
        """List what keeps plugins from running, with the remedy of each."""
        return findings(hub.report.plugins)

    @get("/api/admin/plugins/{plugin:str}/why", opt=policy("hub:plugins"))
    async def why(plugin: FromPath[str]) -> Why:
        """Explain why a plugin is on, off, blocked or failed."""
        status = next((one for one in hub.report.plugins if one.id == plugin), None)
        if status is None:
            raise NotFound(f"There is no plugin {plugin}.", code="plugin-not-found", hint="`luminai plugins list` shows them.")
        return await inspect.why(hub, status)

    @get("/api/admin/plugins/hooks", opt=policy("hub:plugins"))
    async def hooks() -> list[HookUse]:
        """List every hook with its implementers."""
        return inspect.hooks(hub)

    @get("/api/admin/plugins/order", opt=policy("hub:plugins"))
    async def order() -> list[Place]:
        """List the start order with the reason of each place."""
        return explain_order(hub.generation.plan)

    @get("/api/admin/plugins/decisions", opt=policy("hub:plugins"))
    async def decisions() -> list[DecisionPoint]:
        """List every decision point with its steps in order."""
        return inspect.decisions(hub)

    return [doctor, why, hooks, order, decisions]


def _watching(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/plugins/routes", opt=policy("hub:plugins"))
    async def routes(limit: big_page = 1000, cursor: page_cursor = None) -> Page[RouteUse]:
        """List every plugin route with its owner and who may call it."""
        every = [one for one in inspect.routes(hub) if cursor is None or f"{one.path} {one.method}" > cursor]
        page = every[:limit]
        return Page(page, f"{page[-1].path} {page[-1].method}" if len(every) > limit else None)

    @get("/api/admin/plugins/perf", opt=policy("hub:plugins"))
    async def perf() -> list[Cost]:
        """List what each running plugin costs."""
        return inspect.costs(hub)

    @get("/api/admin/plugins/trace", opt=policy("hub:plugins"))
    async def trace(
        what: Annotated[str, QueryParameter(max_length=120, description="Only calls whose name starts so, e.g. `decision guard.`.")] = "",
        seconds: Annotated[int, QueryParameter(ge=1, le=300, description="How long to listen.")] = 10,
    ) -> ServerSentEvent:
        """Stream calls of plugin code as they happen: requests, decisions, lifecycle hooks."""

        async def calls() -> AsyncIterator[ServerSentEventMessage]:
            async for call in hub.tracer.listen(seconds):
                if call.what.startswith(what):
                    yield ServerSentEventMessage(data=msgspec.json.encode(call).decode(), event="call")
            yield ServerSentEventMessage(data="{}", event="end")

        if hub.tracer.is_full:
            raise Unavailable("Too many are tracing already.", code="trace-full", retry_after=10)
        return ServerSentEvent(calls())

    return [routes, perf, trace]


def _comparing(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/plugins/lock", opt=policy("hub:plugins"))
    async def lock() -> Lock:
        """Show what a lock file of now would hold."""
        return await asyncio.to_thread(make_lock, hub.installed(), hub.config.settings.plugins)

    @get("/api/admin/plugins/verify", opt=policy("hub:plugins"))
    async def verify() -> list[Difference]:
        """List where what is installed differs from the lock file beside config.toml."""
        return await asyncio.to_thread(verify_lock, hub.config.base_dir / LOCK_FILE, hub.installed(), hub.config.settings.plugins)

    @get("/api/admin/plugins/diff", opt=policy("hub:plugins"))
    async def diff(before: plugin_id, after: plugin_id) -> list[PluginChange]:
        """Compare two installed plugins; the command also compares wheels and folders."""
        installed = hub.installed()
        for name in (before, after):
            if all(one.id != name for one in installed):
                raise NotFound(f"There is no plugin {name}.", code="plugin-not-found", hint="`luminai plugins list --available` shows all.")
        return await asyncio.to_thread(lambda: compare(side_of(before, installed), side_of(after, installed)))

    return [lock, verify, diff]
