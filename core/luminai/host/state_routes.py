"""The core's routes about itself: state, health, documents, capabilities."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath
from msgspec import Struct

from luminai import __version__
from luminai.config.problems import MAX_PROBLEMS
from luminai.contracts.errors import NotFound
from luminai.contracts.identity import policy
from luminai.contracts.manifest import PLUGIN_API
from luminai.contracts.runtime import HealthState
from luminai.host.report import PluginState
from luminai.host.scopes import known_scopes
from luminai.telemetry.descriptors import Descriptors, open_descriptors
from luminai.telemetry.health import worst
from luminai.telemetry.logs import flood_gate

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class ServiceState(Struct):
    """One plugin in the hub's state."""

    id: str
    title: str
    state: str
    reason: str = ""


class FaultPlace(Struct):
    """Where something stands that is wrong and left out in safe mode; what it is only operators see, in `/api/admin/repairs`."""

    file: str
    line: int
    code: str


class HubStatus(Struct):
    """What `GET /api/status` answers; ``R_global`` is the mean R of the last 24 hours, null when there was none."""

    platform_status: str
    R_global: float | None
    version: str
    generation: int
    uptime_seconds: float
    services: list[ServiceState]
    safe_mode: bool = False
    left_out: list[FaultPlace] = []


class ProcessFigures(Struct, kw_only=True):
    """What the process holds.

    Attributes:
        descriptors: Open files and sockets; null where the system does not tell.
        log_lines_dropped: By plugin or library, since the process began.
    """

    threads: int
    tasks: int
    descriptors: Descriptors | None
    log_lines_dropped: dict[str, int]


class HealthAnswer(Struct):
    """What the health probes answer. Which check said what is in ``/health/detailed``, for those who may see it."""

    status: str


def state_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

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
            safe_mode=bool(hub.safe_mode),
            left_out=[FaultPlace(item.file, item.line, item.code) for item in hub.faults[:MAX_PROBLEMS]],
            services=[ServiceState(one.id, one.title, one.state, f"failed at {one.phase}" if one.code else "") for one in known],
        )

    @get("/health/live", opt=policy(anonymous=True))
    async def live() -> HealthAnswer:
        """Say that the process answers."""
        return HealthAnswer("ok")

    @get("/health/ready", opt=policy(anonymous=True))
    async def ready() -> Response[HealthAnswer]:
        """Say whether requests should be sent here."""
        is_ready = hub.is_ready and not hub.safe_mode
        return Response(HealthAnswer("ready" if is_ready else "safe-mode" if hub.safe_mode else "not-ready"), status_code=200 if is_ready else 503)

    @get(["/health", "/api/health"], opt=policy(anonymous=True))
    async def health() -> Response[HealthAnswer]:
        """Ask every check; 503 when one is failing."""
        state = worst(await hub.health.results() if hub.health else ())
        return Response(HealthAnswer(str(state)), status_code=503 if state is HealthState.FAILING else 200)

    @get("/api/admin/process", opt=policy("hub:plugins"))
    async def process() -> ProcessFigures:
        """Show what the process holds: threads, tasks, open files and sockets, dropped log lines."""
        return ProcessFigures(
            threads=threading.active_count(),
            tasks=len(asyncio.all_tasks()),
            descriptors=await asyncio.to_thread(open_descriptors),
            log_lines_dropped=dict(flood_gate.dropped),
        )

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

    return [status, live, ready, health, process, openapi, openapi_of, manifest]


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
        "scopes": known_scopes(generation),
        "endpoints": sorted(f"{entry.method} {entry.path}" for loaded in generation.plugins for entry in loaded.routes),
    }
