"""A generation: the immutable snapshot of running plugins that serves requests, and the workshop that builds it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, DeadlineExceeded, HubError, NotReady, ProblemItem, Unavailable
from luminai.contracts.runtime import SecretBackend
from luminai.data.database import HubDatabase
from luminai.data.migrations import MigrationSource, pending, upgrade
from luminai.host.decisions import DecisionTable
from luminai.host.loading import Loaded, load
from luminai.host.plan import Plan, failed_fields, needs
from luminai.host.providers import FAMILIES, ProviderTable
from luminai.host.report import Failure, Phase, PluginStatus, cause_chain
from luminai.host.services import ServiceTable
from luminai.host.sources import source_of
from luminai.host.worker import DeadlineWorker
from luminai.http.guard import Authenticate
from luminai.http.table import AppEntry, OffEntry, PrefixTable

_log = logging.getLogger("luminai.host")
DRAIN_SECONDS: Final = 5.0


class Generation(Struct, frozen=True, kw_only=True):
    """What serves: plugins in start order, the prefix table, provider and decision tables, the status of every known plugin."""

    number: int
    plugins: tuple[Loaded, ...]
    table: PrefixTable
    providers: ProviderTable
    decisions: DecisionTable
    statuses: dict[str, PluginStatus]
    failures: dict[str, Failure]
    workshop: Workshop

    async def announce_ready(self, *, seconds: float) -> None:
        """Tell every plugin that it is serving; what goes wrong is logged, the plugin keeps running."""
        for loaded in self.plugins:
            if loaded.hooks and "ready" in loaded.hooks:
                try:
                    async with asyncio.timeout(seconds):
                        await loaded.hooks.call("ready", ctx=loaded.context)
                except Exception:  # noqa: BLE001 - plugin code may raise anything
                    _log.exception("plugin.ready.failed", extra={"plugin": loaded.id})

    async def stop(self, *, seconds: float) -> None:
        """Drain and stop every plugin, last started first."""
        for loaded in reversed(self.plugins):
            await stop_plugin(loaded, seconds=seconds)


class Workshop:
    """Builds one generation. Contexts keep a reference to it, since its tables are what they look things up in.

    Args:
        seconds: Deadline of each phase of each plugin.
    """

    def __init__(
        self,
        number: int,
        *,
        database: HubDatabase,
        clock: Clock,
        data_dir: Path,
        base_dir: Path,
        authenticate: Authenticate,
        resolve_secret: Any,
        secret_backends: dict[str, SecretBackend],
        max_body_bytes: int,
        seconds: float,
        auto_migrate: bool,
    ) -> None:
        self.number = number
        self.database = database
        self.clock = clock
        self.data_dir = data_dir
        self.base_dir = base_dir
        self.authenticate = authenticate
        self.resolve_secret = resolve_secret
        self.max_body_bytes = max_body_bytes
        self.providers = ProviderTable()
        self.decisions = DecisionTable()
        self.services = ServiceTable({})
        self.extensions: dict[str, tuple[Any, ...]] = {}
        self.objects: dict[str, object] = {}
        self._secret_backends = secret_backends
        self._extension_points: dict[str, type] = {}
        self._seconds = seconds
        self._auto_migrate = auto_migrate
        self._failures: dict[str, Failure] = {}

    async def build(self, plan: Plan, *, core: AppEntry) -> Generation:
        """Load, migrate and start the planned plugins; a failing one is left out with its reason, and so are those that require it."""
        self._failures = dict(plan.failures)
        self.services = ServiceTable({planned.manifest.id: planned.manifest.requires for planned in plan.order})
        plugins: dict[str, Loaded] = {}
        worker = DeadlineWorker("luminai-plugin-loader")
        for planned in plan.order:
            loaded = Loaded(planned)
            if self._blocked(loaded, plan, plugins):
                continue
            try:
                await worker.call(load, loaded, self, seconds=self._seconds)
            except Exception as error:  # noqa: BLE001 - whatever a plugin does wrong ends here
                self._fail(loaded, error)
            else:
                plugins[loaded.id] = loaded
        worker.close()
        await self._migrate(plan, plugins)
        await self._start(plan, plugins)
        return Generation(
            number=self.number,
            plugins=tuple(plugins.values()),
            table=self._table(plan, plugins, core),
            providers=self.providers,
            decisions=self.decisions,
            statuses=self._statuses(plan, plugins),
            failures=dict(self._failures),
            workshop=self,
        )

    def add(self, loaded: Loaded, hook: str) -> None:
        """Enter what a plugin contributed through ``hook`` into the tables."""
        items = loaded.contributions[hook]
        if hook in FAMILIES:
            self.providers.add(hook, loaded.id, items)
        elif hook == "services":
            self.services.add(loaded.id, items)
        elif hook == "decisions":
            self.decisions.add(loaded.id, items)
        elif hook == "secret_backends":
            self._secret_backends.update({backend.scheme: backend for backend in items})
        elif hook == "extension_points":
            self._extension_points.update({f"{loaded.id}.{point.name}/{point.version}": point.type for point in items})
        elif hook == "extensions":
            for extension in items:
                kind = self._extension_points.get(extension.point)
                if kind is None:
                    raise Conflict(f"there is no extension point {extension.point}", code="no-extension-point", hint="Name its plugin in requires.")
                if not isinstance(extension.value, kind):
                    raise Conflict(f"{extension.point} takes {kind.__name__}, got {type(extension.value).__name__}", code="bad-extension")
                self.extensions[extension.point] = (*self.extensions.get(extension.point, ()), extension.value)

    def migration_source(self, loaded: Loaded) -> MigrationSource:
        """Return where the plugin's migrations lie; refuses tables outside its prefix."""
        return source_of(loaded.planned.installed, loaded.metadata)

    def _blocked(self, loaded: Loaded, plan: Plan, plugins: Mapping[str, Loaded]) -> bool:
        failure = needs(loaded.planned.manifest, frozenset(plugins), plan.installed, self._failures)
        if failure is not None:
            self._failures[loaded.id] = failure
        return failure is not None

    async def _migrate(self, plan: Plan, plugins: dict[str, Loaded]) -> None:
        sources = {loaded.id: self.migration_source(loaded) for loaded in plugins.values() if loaded.metadata is not None}
        if not sources:
            return
        waiting = await pending(self.database, list(sources.values()))
        for loaded in list(plugins.values()):
            if self._blocked(loaded, plan, plugins):
                await self._drop(loaded, plugins)
                continue
            state = waiting.get(loaded.id)
            if not state:
                continue
            loaded.phase = Phase.MIGRATE
            began = time.perf_counter()
            try:
                if not self._auto_migrate:
                    raise Conflict(f"{len(state)} migrations are waiting", code="migration-needed", hint="Run `luminai db upgrade`.")
                await upgrade(self.database, sources[loaded.id])
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(loaded, error)
                await self._drop(loaded, plugins)
            loaded.timings[Phase.MIGRATE] = round((time.perf_counter() - began) * 1000, 3)

    async def _start(self, plan: Plan, plugins: dict[str, Loaded]) -> None:
        """Start in waves: plugins that do not wait for one another start at the same time."""
        waiting = dict(plugins)
        while waiting:
            wave = [
                one for one in waiting.values() if not {*one.planned.manifest.requires, *one.planned.manifest.after} & (waiting.keys() - {one.id})
            ]
            for loaded in wave:
                del waiting[loaded.id]
            ready = [loaded for loaded in wave if not self._blocked(loaded, plan, plugins)]
            await asyncio.gather(*(self._start_one(loaded, plugins) for loaded in ready))
            for loaded in wave:
                if loaded not in ready:
                    await self._drop(loaded, plugins)

    async def _start_one(self, loaded: Loaded, plugins: dict[str, Loaded]) -> None:
        if loaded.hooks is None or "start" not in loaded.hooks:
            return
        loaded.phase, loaded.started = Phase.START, True
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    try:
                        await loaded.hooks.call("start", ctx=loaded.context)
                        break
                    except NotReady as waiting:
                        if time.perf_counter() - began + waiting.retry_after >= self._seconds:
                            raise Unavailable(waiting.reason, code="not-ready", hint="Start what it waits for.") from waiting
                        await asyncio.sleep(waiting.retry_after)
        except TimeoutError:
            self._fail(loaded, DeadlineExceeded(f"start did not return within {self._seconds:g} s"))
            await self._drop(loaded, plugins)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(loaded, error)
            await self._drop(loaded, plugins)
        loaded.timings[Phase.START] = round((time.perf_counter() - began) * 1000, 3)

    async def _drop(self, loaded: Loaded, plugins: dict[str, Loaded]) -> None:
        plugins.pop(loaded.id, None)
        self._forget(loaded.id)
        await stop_plugin(loaded, seconds=1)

    def _fail(self, loaded: Loaded, error: Exception) -> None:
        self._forget(loaded.id)
        failure = failure_of(loaded, error)
        self._failures[loaded.id] = failure
        _log.error(
            "plugin.failed",
            extra={"plugin": loaded.id, "phase": failure.phase, "reason": failure.reason},
            exc_info=error if not isinstance(error, HubError) else None,
        )

    def _forget(self, plugin_id: str) -> None:
        self.providers.remove(plugin_id)
        self.decisions.remove(plugin_id)
        self.services.remove(plugin_id)

    def _table(self, plan: Plan, plugins: Mapping[str, Loaded], core: AppEntry) -> PrefixTable:
        entries: dict[str, Any] = dict.fromkeys(("/api", "/health", "/openapi", "/openapi.json"), core)
        for plugin_id, installed in plan.installed.items():
            if installed.manifest is None:
                continue
            loaded = plugins.get(plugin_id)
            for prefix in installed.manifest.claimed_paths:
                if loaded is not None and loaded.entry is not None:
                    entries[prefix] = loaded.entry
                elif prefix != "/" and loaded is None:
                    entries.setdefault(prefix, OffEntry(plugin_id, self._off_error(plugin_id, plan)))
        return PrefixTable(entries, root=core)

    def _off_error(self, plugin_id: str, plan: Plan) -> HubError:
        status = self._status(plugin_id, plan)
        hint = f"The operator sees why with `luminai plugins inspect {plugin_id}`."
        return Unavailable(
            f"Plugin {plugin_id} is {status.state}.", code="plugin-off", hint=hint, plugin=plugin_id, state=status.state, phase=status.phase
        )

    def _status(self, plugin_id: str, plan: Plan, **fields: Any) -> PluginStatus:
        failure = self._failures.get(plugin_id)
        return plan.status(plugin_id, **((failed_fields(failure) if failure else {}) | fields))

    def _statuses(self, plan: Plan, plugins: Mapping[str, Loaded]) -> dict[str, PluginStatus]:
        ids: Iterable[str] = [*plugins, *sorted(({*plan.installed, *plan.settings, *plan.off, *self._failures}) - plugins.keys())]
        return {
            plugin_id: self._status(
                plugin_id,
                plan,
                **({"running": True, "phase": Phase.READY, "timings_ms": plugins[plugin_id].timings} if plugin_id in plugins else {}),
            )
            for plugin_id in ids
        }


async def stop_plugin(loaded: Loaded, *, seconds: float) -> None:
    """Drain the plugin's requests, call its ``stop`` once if ``start`` was called, and close what it owned."""
    if loaded.entry is not None and not await loaded.entry.drained(seconds):
        _log.warning("plugin.drain.late", extra={"plugin": loaded.id})
    if loaded.started and loaded.hooks is not None and "stop" in loaded.hooks:
        try:
            async with asyncio.timeout(seconds):
                await loaded.hooks.call("stop", ctx=loaded.context)
        except Exception:  # noqa: BLE001 - plugin code may raise anything
            _log.exception("plugin.stop.failed", extra={"plugin": loaded.id})
    if loaded.context is not None:
        await loaded.context.close(seconds=seconds)


def failure_of(loaded: Loaded, error: Exception) -> Failure:
    """Return the report entry of an exception: whose fault, which phase, what to do."""
    causes = cause_chain(error)
    reason = str(error).splitlines()[0][:500] if str(error) else type(error).__name__
    code, remedy = f"{loaded.phase}-failed", "Look at the log of this start, or disable the plugin."
    errors: tuple[ProblemItem, ...] = ()
    if isinstance(error, HubError):
        code, remedy, errors = error.code, error.hint or remedy, error.errors
    elif isinstance(error, ModuleNotFoundError) and error.name:
        own = loaded.planned.installed.entry_point.partition(":")[0]
        code = "module-missing"
        if own == error.name or own.startswith(f"{error.name}."):
            remedy = f"Reinstall {loaded.planned.installed.distribution}: its module {error.name} is not there."
        else:
            remedy = f"Install the package of module {error.name}, which {loaded.id} imports."
    return Failure(phase=loaded.phase, code=code, reason=reason, causes=causes, remedy=remedy, errors=errors)
