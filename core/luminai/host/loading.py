"""Import, bind, collect, check: the phases that run a plugin's own code in a thread, one plugin at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from msgspec import Struct

from luminai.config.binding import bind
from luminai.contracts.engines import JobEngine
from luminai.contracts.errors import ConfigRejected, ProblemItem
from luminai.contracts.identity import POLICY_KEY
from luminai.contracts.jobs import Action, Schedule
from luminai.contracts.live import Channel
from luminai.contracts.metering import Meter
from luminai.contracts.metrics import AlertRule
from luminai.contracts.runtime import (
    Authenticator,
    Decision,
    EventType,
    Extension,
    ExtensionPoint,
    HealthCheck,
    Metric,
    SecretBackend,
    Service,
    Subscription,
    Webhook,
)
from luminai.contracts.streams import Aggregate
from luminai.host.context import Context
from luminai.host.hooks import CONTRIBUTIONS, BadHooks, BoundHooks, bind_hooks
from luminai.host.plan import Planned
from luminai.host.providers import FAMILIES, Collision
from luminai.host.report import Phase
from luminai.host.runtime import Runtime
from luminai.host.sources import source_of
from luminai.host.wiring import Wiring
from luminai.http.inventory import RouteEntry, check_routes, inventory
from luminai.http.plugin_app import build_app
from luminai.http.table import AppEntry
from luminai.http.webhooks import check_webhooks
from luminai.telemetry.alert_rules import problems_of

SHAPES: Final[dict[str, type]] = {
    "services": Service,
    "decisions": Decision,
    "meters": Meter,
    "health_checks": HealthCheck,
    "metrics": Metric,
    "alert_rules": AlertRule,
    "actions": Action,
    "schedules": Schedule,
    "job_engines": JobEngine,
    "event_types": EventType,
    "aggregates": Aggregate,
    "subscriptions": Subscription,
    "channels": Channel,
    "webhooks": Webhook,
    "authenticators": Authenticator,
    "secret_backends": SecretBackend,
    "extension_points": ExtensionPoint,
    "extensions": Extension,
    **FAMILIES,
}
"""What each contribution hook's items must be; ``models`` and ``routes`` have checks of their own."""

_LAST = ("routes",)
_ORDER: Final = [name for name in CONTRIBUTIONS if name not in ("models", *_LAST)] + list(_LAST)


class Loaded:
    """A plugin on its way up, and then running: its context, hooks, contributions, app and timings (milliseconds a phase)."""

    __slots__ = ("context", "contributions", "entry", "hooks", "metadata", "phase", "planned", "plugin", "routes", "started", "timings")

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.plugin: object = None
        self.phase = Phase.IMPORT
        self.timings: dict[str, float] = {}
        self.context: Context | None = None
        self.hooks: BoundHooks | None = None
        self.metadata: Any = None
        self.contributions: dict[str, Sequence[Any]] = {}
        self.routes: list[RouteEntry] = []
        self.entry: AppEntry | None = None
        self.started = False

    @property
    def id(self) -> str:
        """The plugin's id."""
        return self.planned.manifest.id


def load(loaded: Loaded, runtime: Runtime, wiring: Wiring) -> None:
    """Take a plugin through import, bind, collect and check; ``loaded.phase`` says how far it came when it raises or hangs."""
    steps: tuple[tuple[Phase, Callable[[], None]], ...] = (
        (Phase.IMPORT, lambda: _import(loaded)),
        (Phase.BIND, lambda: _bind(loaded, runtime, wiring)),
        (Phase.COLLECT, lambda: _collect(loaded, wiring)),
        (Phase.CHECK, lambda: _check(loaded, runtime)),
    )
    for phase, step in steps:
        loaded.phase = phase
        began = time.perf_counter()
        try:
            step()
        finally:
            loaded.timings[phase] = round((time.perf_counter() - began) * 1000, 3)


def _import(loaded: Loaded) -> None:
    module_name, _, attribute = loaded.planned.installed.entry_point.partition(":")
    module = import_module(module_name)
    kind = getattr(module, attribute or "Plugin")
    loaded.plugin = kind()


def _bind(loaded: Loaded, runtime: Runtime, wiring: Wiring) -> None:
    loaded.hooks = bind_hooks(loaded.plugin)
    _check_provides(loaded)
    struct: type[Struct] | None = getattr(loaded.plugin, "config", None)
    section = loaded.planned.settings.config
    if struct is None and section:
        raise ConfigRejected(f"plugin {loaded.id} has no settings", hint=f"Take [plugins.{loaded.id}.config] out.")
    config = bind(struct, section, runtime.resolve_secret) if struct is not None else None
    loaded.context = Context(runtime, wiring, loaded.id, loaded.planned.installed.version, config, loaded.planned.settings)


def _check_provides(loaded: Loaded) -> None:
    manifest, hooks = loaded.planned.manifest, loaded.hooks
    implemented = {name for name in (hooks.names if hooks else ()) if name in CONTRIBUTIONS}
    declared = set(manifest.provides) - {"commands"}
    problems = [
        ProblemItem(detail=f"it implements {name}, which its manifest does not name", pointer=name, hint=f'Add "{name}" to provides.')
        for name in sorted(implemented - declared)
    ] + [
        ProblemItem(detail=f"its manifest provides {name}, which it does not implement", pointer=name, hint=f'Take "{name}" out of provides.')
        for name in sorted(declared - implemented)
    ]
    if manifest.tables != ("models" in implemented):
        problems.append(ProblemItem(detail="`tables` and the hook models disagree", pointer="models", hint="tables = true goes with models."))
    if problems:
        raise BadHooks("manifest and hooks disagree", errors=problems, hint=problems[0].hint)


def _collect(loaded: Loaded, wiring: Wiring) -> None:
    hooks, context = loaded.hooks, loaded.context
    if hooks is None or context is None:
        raise RuntimeError("collected before it was bound")
    if "models" in hooks:
        loaded.metadata = hooks.call("models")
        source_of(loaded.planned.installed, loaded.metadata)  # refuses tables outside the plugin's prefix
    for name in _ORDER:
        if name not in hooks:
            continue
        items = hooks.call(name, ctx=context)
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise Collision(f"{name} returned {type(items).__name__}, expected a sequence", hint="Return a list or tuple.")
        shape = SHAPES.get(name)
        for item in items if shape else ():
            if not isinstance(item, shape):  # type: ignore[arg-type]
                raise Collision(f"{name} returned a {type(item).__name__} among its items, expected {shape.__name__}")  # type: ignore[union-attr]
        loaded.contributions[name] = tuple(items)
        if name == "metrics":
            context.metrics.declare(items)
        elif name == "alert_rules" and (wrong := problems_of(items)):
            raise Collision(f"{len(wrong)} problems with its alert rules", errors=wrong, hint=wrong[0].hint)
        wiring.add(loaded.id, name, loaded.contributions[name])


def _check(loaded: Loaded, runtime: Runtime) -> None:
    manifest = loaded.planned.manifest
    handlers = loaded.contributions.get("routes", ())
    loaded.routes = inventory(loaded.id, handlers)
    problems = check_routes(loaded.routes, prefixes=manifest.claimed_paths, anonymous="anonymous-routes" in manifest.grants)
    for entry in loaded.routes:
        scope = entry.policy.scope if entry.policy else None
        if scope is not None and scope not in manifest.scopes:
            problems.append(
                ProblemItem(detail=f"{entry.method} {entry.path} needs scope {scope}", pointer=POLICY_KEY, hint="Name it in the manifest's scopes.")
            )
    if wrong := check_webhooks(loaded.contributions.get("webhooks", ())):
        raise Collision(f"{len(wrong)} problems with its webhooks", errors=wrong, hint=wrong[0].hint)
    for channel in loaded.contributions.get("channels", ()):
        if channel.scope is not None and channel.scope not in manifest.scopes:
            raise Collision(f"its channel {channel.name} needs scope {channel.scope}", hint="Name it in the manifest's scopes.")
    if problems:
        raise Collision(f"{len(problems)} of its routes cannot be served", errors=problems, hint=problems[0].hint)
    if handlers:
        app = build_app(loaded.id, handlers, gate=runtime.gate, max_body_bytes=runtime.max_body_bytes)
        loaded.entry = AppEntry(loaded.id, app, runtime.make_breaker(loaded.id, "routes"))
