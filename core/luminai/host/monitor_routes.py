"""The core's routes for those who watch over the hub: metrics, health in detail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get
from msgspec import Struct

from luminai import __version__
from luminai.contracts.identity import policy
from luminai.contracts.runtime import HealthState
from luminai.host.report import PluginState
from luminai.telemetry.exposition import exposition
from luminai.telemetry.health import CheckResult, worst
from luminai.telemetry.timings import Timing, timings

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class PluginHealth(Struct, kw_only=True):
    """A plugin's part: its worst check, or ``failing`` where it should run and does not; ``requests`` that ended with status 500."""

    id: str
    state: str
    running: bool
    reason: str = ""
    failed_requests: int = 0


class DetailedHealth(Struct, kw_only=True):
    """What ``GET /health/detailed`` answers."""

    status: str
    version: str
    ready: bool
    generation: int
    uptime_seconds: float
    database: str
    database_in_use: int
    database_connections: int
    writes_waiting: int
    plugins: list[PluginHealth]
    checks: list[CheckResult]


def monitor_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @get("/metrics", opt=policy("hub:monitor"), media_type="text/plain", include_in_schema=False)
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show every metric in Prometheus' text, or as OpenMetrics to a reader that accepts it."""
        families = await hub.metrics.families()
        body, content_type = await asyncio.to_thread(exposition, families, request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    @get("/health/detailed", opt=policy("hub:monitor"))
    async def detailed() -> Response[DetailedHealth]:
        """Ask every check and tell what each said, plugin by plugin; 503 when one is failing."""
        results = await hub.health.results() if hub.health else []
        plugins = [_health_of(hub, one.id, results) for one in hub.report.plugins if one.state is not PluginState.AVAILABLE]
        core = worst(one for one in results if one.plugin == "core")
        plugins.insert(0, PluginHealth(id="core", state=str(core), running=True))
        busy, state = hub.database.busy(), worst(results)
        answer = DetailedHealth(
            status=str(state),
            version=__version__,
            ready=hub.is_ready and not hub.safe_mode,
            generation=hub.generation.number,
            uptime_seconds=round(hub.uptime, 1),
            database=hub.database.dialect,
            database_in_use=busy.in_use,
            database_connections=busy.connections,
            writes_waiting=busy.writes_waiting,
            plugins=plugins,
            checks=results,
        )
        return Response(answer, status_code=503 if state is HealthState.FAILING else 200)

    @get("/api/admin/timings", opt=policy("hub:monitor"))
    async def list_timings() -> list[Timing]:
        """List how long requests, jobs, providers and the database took since the start: p50, p95, p99 by plugin and route, the most used first."""
        return timings(await hub.metrics.families())

    return [metrics, detailed, list_timings]


def _health_of(hub: Hub, plugin: str, results: list[CheckResult]) -> PluginHealth:
    status = next(one for one in hub.report.plugins if one.id == plugin)
    loaded = hub.generation.loaded(plugin)
    should_run = status.state not in (PluginState.DISABLED, PluginState.AVAILABLE)
    state = worst(one for one in results if one.plugin == plugin) if status.running else HealthState.FAILING if should_run else HealthState.UNKNOWN
    reason = status.reason if not status.running else ""
    failed = loaded.entry.failures if loaded is not None and loaded.entry is not None else 0
    return PluginHealth(id=plugin, state=str(state), running=status.running, reason=reason, failed_requests=failed)
