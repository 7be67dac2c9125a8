"""The core's own routes: state, health, documents, set-up, keys, plugins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, PathParameter
from msgspec import Meta, Struct

from luminai import __version__
from luminai.contracts.errors import HubError, InvalidInput, NotFound
from luminai.contracts.identity import Actor, policy
from luminai.contracts.manifest import PLUGIN_API
from luminai.contracts.runtime import HealthState
from luminai.host.report import PluginState, PluginStatus, StartupReport
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity.keys import KeyInfo
from luminai.telemetry.health import CheckResult, worst

if TYPE_CHECKING:
    from luminai.host.hub import Hub

CORE_SCOPES = {
    "hub:keys": "Make, list and revoke API keys",
    "hub:plugins": "See plugins and turn them on and off",
}
Name = Annotated[str, Meta(min_length=1, max_length=80)]
KeyId = Annotated[str, PathParameter(pattern=r"^key_[0-9a-f]{32}$")]


class ServiceState(Struct):
    """One plugin in the hub's state."""

    id: str
    title: str
    state: str
    reason: str = ""


class HubStatus(Struct):
    """What `GET /api/status` answers; ``R_global`` is the mean R of the last 24 hours, null when there was none."""

    platform_status: str
    R_global: float | None
    version: str
    generation: int
    uptime_seconds: float
    services: list[ServiceState]


class HealthAnswer(Struct):
    """What the health probes answer."""

    status: str
    checks: list[CheckResult] = []


class SetupRequest(Struct, forbid_unknown_fields=True):
    """Redeems the one-time set-up token."""

    token: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name = "operator"


class NewKeyRequest(Struct, forbid_unknown_fields=True):
    """Asks for an API key."""

    name: Name
    scopes: Annotated[
        list[Annotated[str, Meta(max_length=80, pattern=r"^(\*|[a-z][a-z0-9-]*:(\*|[a-z][a-z0-9-]*))$")]], Meta(min_length=1, max_length=64)
    ]
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None


class NewKey(Struct):
    """A new key with its text, which is shown this once."""

    id: str
    key: str
    name: str
    scopes: tuple[str, ...]


class DesiredRequest(Struct, forbid_unknown_fields=True):
    """Turns a plugin on or off."""

    enabled: bool


class DesiredAnswer(Struct):
    """What will become of the wish."""

    id: str
    enabled: bool
    restart_required: bool
    reason: str


def core_handlers(hub: Hub) -> Sequence[Any]:
    """Return the core's route handlers over ``hub``."""
    return [*_state_handlers(hub), *_identity_handlers(hub), *_plugin_handlers(hub)]


def _state_handlers(hub: Hub) -> Sequence[Any]:
    @get("/api/status", opt=policy(anonymous=True))
    async def status() -> HubStatus:
        """Say how the hub is, for every surface."""
        known = [one for one in hub.report.plugins if one.state is not PluginState.AVAILABLE]
        health = worst(await hub.health.results() if hub.health else ())
        good = not hub.report.degraded and health in (HealthState.OK, HealthState.UNKNOWN)
        return HubStatus(
            platform_status="ok" if good else "degraded",
            R_global=await hub.generation.wiring.decisions.choose("choose.status.R_global", None),
            version=__version__,
            generation=hub.generation.number,
            uptime_seconds=round(hub.uptime, 1),
            services=[ServiceState(one.id, one.title, one.state, f"failed at {one.phase}" if one.code else "") for one in known],
        )

    @get("/health/live", opt=policy(anonymous=True))
    async def live() -> HealthAnswer:
        """Say that the process answers."""
        return HealthAnswer("ok")

    @get("/health/ready", opt=policy(anonymous=True))
    async def ready() -> Response[HealthAnswer]:
        """Say whether requests should be sent here."""
        is_ready = hub.is_ready
        return Response(HealthAnswer("ready" if is_ready else "not-ready"), status_code=200 if is_ready else 503)

    @get("/health", opt=policy(anonymous=True))
    async def health() -> Response[HealthAnswer]:
        """Ask every check; 503 when one is failing."""
        results = await hub.health.results() if hub.health else []
        state = worst(results)
        return Response(HealthAnswer(str(state), results), status_code=503 if state is HealthState.FAILING else 200)

    @get("/openapi.json", opt=policy(anonymous=True), include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        """Describe every route."""
        return await hub.document(None)

    @get("/openapi/{plugin:str}", opt=policy(anonymous=True), include_in_schema=False)
    async def openapi_of(plugin: FromPath[str]) -> dict[str, Any]:
        """Describe one plugin's routes."""
        try:
            return await hub.document(plugin)
        except KeyError:
            raise NotFound(f"No running plugin {plugin} has routes.", code="plugin-not-found") from None

    @get("/api/manifest", opt=policy())
    async def manifest() -> dict[str, Any]:
        """Say what this hub can do, for agents and orchestrators."""
        return capabilities(hub)

    return [status, live, ready, health, openapi, openapi_of, manifest]


def _identity_handlers(hub: Hub) -> Sequence[Any]:
    @post("/api/setup", opt=policy(anonymous=True))
    async def setup(data: JSONBody[SetupRequest]) -> NewKey:
        """Turn the one-time set-up token into the operator's key."""
        info, text = await hub.keys.redeem_setup(data.token, data.name)
        return NewKey(info.id, text, info.name, info.scopes)

    @post("/api/keys", opt=policy("hub:keys"))
    async def create_key(request: Request[Any, Any, Any], data: JSONBody[NewKeyRequest]) -> NewKey:
        """Make an API key; nobody can give scopes that he does not hold."""
        actor = signed_in(request)
        _check_scopes(hub, actor, data.scopes)
        expires = hub.clock.now() + timedelta(days=data.expires_in_days) if data.expires_in_days else None
        info, text = await hub.keys.create(data.name, data.scopes, subject=actor.subject, expires_at=expires)
        return NewKey(info.id, text, info.name, info.scopes)

    @get("/api/keys", opt=policy("hub:keys"))
    async def list_keys(limit: page_limit = 20, cursor: page_cursor = None) -> Page[KeyInfo]:
        """List API keys, newest first."""
        found, following = await hub.keys.list(limit=limit, cursor=cursor)
        return Page(found, following)

    @delete("/api/keys/{key_id:str}", opt=policy("hub:keys"))
    async def revoke_key(key_id: KeyId) -> None:
        """Revoke an API key for good."""
        await hub.keys.revoke(key_id)
        hub.verifier.forget()

    return [setup, create_key, list_keys, revoke_key]


def _plugin_handlers(hub: Hub) -> Sequence[Any]:
    def find(plugin: str) -> PluginStatus:
        status = next((one for one in hub.report.plugins if one.id == plugin), None)
        if status is None:
            raise NotFound(f"There is no plugin {plugin}.", code="plugin-not-found", hint="`luminai plugins list` shows them.")
        return status

    @get("/api/admin/plugins", opt=policy("hub:plugins"))
    async def list_plugins(limit: page_limit = 100, cursor: page_cursor = None) -> Page[PluginStatus]:
        """List every plugin: declared, installed, running."""
        every = sorted(hub.report.plugins, key=lambda one: one.id)
        rest = [one for one in every if cursor is None or one.id > cursor]
        return Page(rest[:limit], rest[limit - 1].id if len(rest) > limit else None)

    @get("/api/admin/plugins/{plugin:str}", opt=policy("hub:plugins"))
    async def show_plugin(plugin: FromPath[str]) -> PluginStatus:
        """Show one plugin."""
        return find(plugin)

    @put("/api/admin/plugins/{plugin:str}/desired", opt=policy("hub:plugins"))
    async def set_desired(request: Request[Any, Any, Any], plugin: FromPath[str], data: JSONBody[DesiredRequest]) -> DesiredAnswer:
        """Turn a plugin on or off; it takes effect at the next start."""
        status = find(plugin)
        if data.enabled and not status.installed:
            raise InvalidInput(f"Plugin {plugin} is not installed.", code="not-installed", hint=f"Install luminai-{plugin} first.")
        await hub.desired.set(plugin, data.enabled, by=signed_in(request).id)
        changes = data.enabled != (status.state not in (PluginState.AVAILABLE, PluginState.DISABLED, PluginState.QUARANTINED))
        return DesiredAnswer(plugin, data.enabled, changes, "It takes effect at the next start." if changes else "Nothing changes.")

    @get("/api/admin/report", opt=policy("hub:plugins"))
    async def report() -> StartupReport:
        """Show the report of this start."""
        return hub.report

    return [list_plugins, show_plugin, set_desired, report]


def capabilities(hub: Hub) -> dict[str, Any]:
    """Return what this hub offers, by kind."""
    generation = hub.generation
    providers = generation.wiring.providers
    return {
        "name": "LuminAI Hub",
        "version": __version__,
        "api": PLUGIN_API,
        "plugins": [loaded.id for loaded in generation.plugins],
        "personas": [{"id": one.id, "title": one.title, "role": one.role} for one in providers.personas.values() if one.public],
        "calculators": sorted(providers.resonance_calculators),
        "providers": {name: [msgspec.to_builtins(model) for model in one.models()] for name, one in providers.ai_providers.items()},
        "commands": {name: claim.summary for loaded in generation.plugins for name, claim in loaded.planned.manifest.commands.items()},
        "scopes": CORE_SCOPES | {name: title for loaded in generation.plugins for name, title in loaded.planned.manifest.scopes.items()},
        "endpoints": sorted(f"{entry.method} {entry.path}" for loaded in generation.plugins for entry in loaded.routes),
    }


def _check_scopes(hub: Hub, actor: Actor, scopes: Sequence[str]) -> None:
    """Refuse scopes that nobody defines, or that the actor does not hold."""
    known = {*CORE_SCOPES, *(name for loaded in hub.generation.plugins for name in loaded.planned.manifest.scopes)}
    for scope in scopes:
        owner, _, verb = scope.partition(":")
        if scope != "*" and scope not in known and not (verb == "*" and any(one.startswith(f"{owner}:") for one in known)):
            raise InvalidInput(f"There is no scope {scope}.", code="unknown-scope", hint=f"Known: {', '.join(sorted(known))}.")
        if not actor.may(scope):
            raise _Beyond(f"You cannot give {scope}, which you do not hold yourself.")


class _Beyond(HubError):
    status, default_code, title = 403, "scope-beyond-own", "Not allowed"
