"""Every health check of a generation: the plugins' own, the core's, and the limits that the operator set for a plugin's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from luminai.config.settings import PluginHealthSettings
from luminai.contracts.context import Clock
from luminai.contracts.metrics import AlertRule
from luminai.contracts.runtime import Health, HealthCheck, HealthState
from luminai.data.database_health import database_check
from luminai.host.job_engines import EMBEDDED
from luminai.host.live_wiring import live_checks
from luminai.host.worker_check import worker_checks
from luminai.telemetry.alerts import Watch
from luminai.telemetry.figures import RequestFigures

if TYPE_CHECKING:
    from luminai.host.generation import Generation
    from luminai.host.hub import Hub

WINDOW_SECONDS: Final = 300.0


class RequestHealth:
    """Judges a plugin's requests of the last five minutes by the operator's limits; it outlives generations, since it remembers what was before."""

    def __init__(self, plugin: str, limits: PluginHealthSettings, figures: RequestFigures, clock: Clock) -> None:
        self._plugin = plugin
        self._limits = limits
        self._figures = figures
        self._clock = clock
        labels, least = {"plugin": plugin}, limits.at_least
        errors = AlertRule(name="errors", metric="luminai_requests", of="share", labels=labels, where={"status": "5xx"}, at_least=least, message="x")
        times = AlertRule(name="times", metric="luminai_request_seconds", of="p95", labels=labels, at_least=least, message="x")
        self._watches = [Watch(rule.name, replace(rule, over=WINDOW_SECONDS)) for rule in (errors, times)]

    async def check(self) -> Health:
        """Compare errors and p95 with the limits."""
        families = {family.name: family for family in self._figures.families()}
        errors, slow = (watch.look(families[watch.rule.metric], self._clock.monotonic()).get(()) for watch in self._watches)
        limits = self._limits
        for limit, state in ((limits.failing_errors, HealthState.FAILING), (limits.degraded_errors, HealthState.DEGRADED)):
            if limit is not None and errors is not None and errors > limit:
                return Health(state, f"{errors:.1%} of its requests end in an error, the limit is {limit:.1%}.")
        if limits.slow_seconds is not None and slow is not None and slow > limits.slow_seconds:
            return Health(HealthState.DEGRADED, f"p95 of its requests is {slow:.3g} s, the limit is {limits.slow_seconds:g} s.")
        return Health(HealthState.OK)


def health_checks(hub: Hub, generation: Generation) -> list[tuple[str, HealthCheck]]:
    """Return each check with its plugin."""
    found: list[tuple[str, HealthCheck]] = []
    for loaded in generation.plugins:
        limits = loaded.planned.settings.health
        own: list[HealthCheck] = list(loaded.contributions.get("health_checks", ()))
        if limits.timeout_seconds is not None:
            own = [replace(check, timeout=limits.timeout_seconds) for check in own]
        if limits.judges_requests:
            judge = hub.request_health.get((loaded.id, limits))
            if judge is None:
                judge = hub.request_health[loaded.id, limits] = RequestHealth(loaded.id, limits, hub.tracer.figures.requests, hub.clock)
            own.append(HealthCheck(name="requests", check=judge.check))
        found += [(loaded.id, check) for check in own]
    found += [("core", hub.mail.health_check()), ("core", database_check(hub.database))]
    if "worker" in hub.settings.hub.roles and hub.settings.jobs.engine != EMBEDDED:
        found.append(("core", hub.jobs.health_check()))
    found += [("core", check) for check in (*live_checks(hub), *worker_checks(hub))]
    if hub.log_copy is not None:
        found.append(("core", HealthCheck(name="log", check=hub.log_copy.check)))
    if hub.settings.backup.folder:
        found.append(("core", HealthCheck(name="backup", check=hub.backups.check)))
    return found
