"""The core's routes to see plugins and change them in the running hub."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, Response, get, post, put
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import InvalidInput, NotFound
from luminai.contracts.identity import policy
from luminai.host.conformance_record import known_levels
from luminai.host.desired import ROLLBACK, Change
from luminai.host.nodes import Node
from luminai.host.report import PluginStatus, StartupReport
from luminai.host.supervisor import Outcome
from luminai.http.pages import Page, number_cursor, page_cursor, page_limit
from luminai.http.requests import signed_in

if TYPE_CHECKING:
    from luminai.host.hub import Hub

MAX_WAIT = 60
_POLL = 0.2
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})\b")


class DesiredRequest(Struct, forbid_unknown_fields=True):
    """Turns a plugin on or off, or gives it settings that are merged over those of config.toml (``{}`` takes them back)."""

    enabled: bool | None = None
    config: Annotated[dict[str, Any], Meta(max_length=200)] | None = None
    cascade: bool = False
    dry_run: bool = False


class RollbackRequest(Struct, forbid_unknown_fields=True):
    """Brings back the wishes of an earlier revision, by default of the one before."""

    to: Annotated[int, Meta(ge=0)] | None = None
    cascade: bool = True
    dry_run: bool = False


class Generations(Struct):
    """What is wished and what each process serves; ``converged``: all serve the same revision."""

    revision: int
    converged: bool
    generation: int
    node: str
    nodes: list[Node]


def plugin_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_looking(hub), *_wishing(hub), *_going_back(hub)]


def _looking(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/plugins", opt=policy("hub:plugins"))
    async def list_plugins(limit: page_limit = 100, cursor: page_cursor = None) -> Page[PluginStatus]:
        """List every plugin: declared, installed, running."""
        every = sorted(hub.report.plugins, key=lambda one: one.id)
        rest = [one for one in every if cursor is None or one.id > cursor]
        return Page(await _with_levels(hub, rest[:limit]), rest[limit - 1].id if len(rest) > limit else None)

    @get("/api/admin/plugins/{plugin:str}", opt=policy("hub:plugins"))
    async def show_plugin(plugin: FromPath[str]) -> PluginStatus:
        """Show one plugin."""
        return (await _with_levels(hub, [_find(hub, plugin)]))[0]

    @get("/api/admin/changes", opt=policy("hub:plugins"))
    async def list_changes(limit: page_limit = 20, cursor: number_cursor = None) -> Page[Change]:
        """List what was changed at run time, newest first."""
        found = await hub.desired.changes(limit=limit + 1, before=int(cursor) if cursor else None)
        return Page(found[:limit], str(found[limit - 1].revision) if len(found) > limit else None)

    @post("/api/admin/changes/adopted", opt=policy("hub:plugins", step_up=True), status_code=204)
    async def note_adoption(request: Request[Any, Any, Any]) -> None:
        """Record that what was changed at run time is being taken over into configuration files."""
        await hub.desired.note_adoption(by=signed_in(request).id)

    @get("/api/admin/generations", opt=policy("hub:plugins"))
    async def show_generations() -> Generations:
        """Show the wished revision, and what each process serves."""
        return await _generations(hub)

    @get("/api/admin/report", opt=policy("hub:plugins"))
    async def report() -> StartupReport:
        """Show the report of the serving generation."""
        return hub.report

    return [list_plugins, show_plugin, list_changes, note_adoption, show_generations, report]


def _wishing(hub: Hub) -> Sequence[Any]:
    @put("/api/admin/plugins/{plugin:str}/desired", opt=policy("hub:plugins", step_up=True))
    async def set_desired(request: Request[Any, Any, Any], plugin: FromPath[str], data: JSONBody[DesiredRequest]) -> Response[Outcome]:
        """Turn a plugin on or off, or change its settings, in the running hub; when it cannot run that way, everything stays (409)."""
        status = _find(hub, plugin)
        if data.enabled is None and data.config is None:
            raise InvalidInput("Nothing is asked for.", code="empty-change", hint="Send enabled, config, or both.")
        if data.enabled and not status.installed:
            raise InvalidInput(f"Plugin {plugin} is not installed.", code="not-installed", hint=f"Install luminai-{plugin} first.")
        before = (await hub.desired.all()).get(plugin)
        section = hub.config.settings.plugins.get(plugin)
        stays = before.enabled if before else bool(section and section.enabled)
        by = signed_in(request).id
        wish = hub.desired.wish(
            plugin,
            stays if data.enabled is None else data.enabled,
            by=by,
            config=(data.config or None) if data.config is not None else before.config if before else None,
        )
        asked = [word for word, holds in (("on", data.enabled), ("off", data.enabled is False), ("settings", data.config is not None)) if holds]
        outcome = await hub.supervisor.change(
            {plugin: wish},
            by=by,
            summary=f"{plugin} {', '.join(asked)}",
            based_on=_if_match(request),
            cascade=data.cascade,
            dry_run=data.dry_run,
            renew=frozenset({plugin}) if not status.running else frozenset(),
        )
        return await _answer(hub, request, outcome)

    @post("/api/admin/plugins/{plugin:str}/restart", opt=policy("hub:plugins", step_up=True), status_code=200)
    async def restart_plugin(request: Request[Any, Any, Any], plugin: FromPath[str]) -> Response[Outcome]:
        """Build a plugin anew with the settings that it has, for example after what it waited for came back."""
        _find(hub, plugin)
        outcome = await hub.supervisor.change({}, by=signed_in(request).id, summary=f"{plugin} built anew", renew=frozenset({plugin}))
        return await _answer(hub, request, outcome)

    return [set_desired, restart_plugin]


def _going_back(hub: Hub) -> Sequence[Any]:
    @post("/api/admin/rollback", opt=policy("hub:plugins", step_up=True), status_code=200)
    async def rollback(request: Request[Any, Any, Any], data: JSONBody[RollbackRequest]) -> Response[Outcome]:
        """Go back to the wishes of an earlier revision; this is a change like any other and can be taken back too."""
        revision, wishes = await hub.desired.state()
        to = revision - 1 if data.to is None else data.to
        if not 0 <= to < revision:
            raise InvalidInput("There is nothing to go back to.", code="nothing-to-roll-back", hint="`luminai plugins history` lists the changes.")
        wanted = await hub.desired.at(to)
        update = {plugin: wanted.get(plugin) for plugin in {*wishes, *wanted} if wanted.get(plugin) != wishes.get(plugin)}
        outcome = await hub.supervisor.change(
            update, by=signed_in(request).id, summary=f"{ROLLBACK}{to}", based_on=_if_match(request), cascade=data.cascade, dry_run=data.dry_run
        )
        return await _answer(hub, request, outcome)

    @post("/api/admin/reload", opt=policy("hub:plugins", step_up=True), status_code=200)
    async def reload(request: Request[Any, Any, Any]) -> Response[Outcome]:
        """Read the configuration files again and serve by them."""
        by, entry = signed_in(request), AuditEntry(action="config.reload", object="config")
        await hub.database.write(lambda session: hub.audit.record(session, by, entry))
        return await _answer(hub, request, await hub.reload())

    return [rollback, reload]


def _find(hub: Hub, plugin: str) -> PluginStatus:
    status = next((one for one in hub.report.plugins if one.id == plugin), None)
    if status is None:
        raise NotFound(f"There is no plugin {plugin}.", code="plugin-not-found", hint="`luminai plugins list` shows them.")
    return status


async def _with_levels(hub: Hub, statuses: list[PluginStatus]) -> list[PluginStatus]:
    wanted = {status.id for status in statuses}
    levels = await asyncio.to_thread(known_levels, [one for one in hub.installed() if one.id in wanted])
    return [replace(status, conformance=levels.get(status.id, "")) for status in statuses]


async def _generations(hub: Hub) -> Generations:
    revision, nodes = await hub.desired.revision(), await hub.nodes.all()
    converged = all(node.revision == revision and not node.problem for node in nodes)
    return Generations(revision, converged, hub.generation.number, hub.nodes.id, nodes)


async def _answer(hub: Hub, request: Request[Any, Any, Any], outcome: Outcome) -> Response[Outcome]:
    """Wait for the other processes as ``Prefer: wait=SECONDS`` asks (RFC 7240), then answer; 202 while some have not followed."""
    headers = {"etag": f'"{outcome.revision}"'}
    asked = _WAIT.search(request.headers.get("prefer", ""))
    status = 200
    if asked and not outcome.dry_run and not outcome.restart_required:
        headers["preference-applied"] = f"wait={asked[1]}"
        status = 200 if await _converged(hub, min(int(asked[1]), MAX_WAIT)) else 202
    return Response(outcome, status_code=status, headers=headers)


async def _converged(hub: Hub, seconds: int) -> bool:
    """Wait until every process serves the wished revision; tell whether that came within ``seconds``."""
    end = time.monotonic() + seconds
    while not (await _generations(hub)).converged:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(_POLL)
    return True


def _if_match(request: Request[Any, Any, Any]) -> int | None:
    text = request.headers.get("if-match", "").strip()
    if text in ("", "*"):
        return None
    number = text.removeprefix("W/").strip('"')
    if not number.isdecimal() or len(number) > 9:
        raise InvalidInput("If-Match must carry a revision.", code="bad-revision", hint="Send the ETag of an earlier answer.")
    return int(number)
