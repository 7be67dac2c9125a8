"""Builds a generation: what did not change comes over from the one before, the rest is loaded, migrated and started."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

from luminai.contracts.errors import Conflict, DeadlineExceeded, HubError, NotReady, Unavailable
from luminai.data.migrations import pending, upgrade
from luminai.data.owners import NOBODY, acting
from luminai.host.calls import call_within
from luminai.host.generation import Generation, failure_of, stop_plugin
from luminai.host.loading import Loaded, load
from luminai.host.plan import Plan, Planned, failed_fields, needs
from luminai.host.report import Failure, Phase, PluginState, PluginStatus
from luminai.host.runtime import Runtime
from luminai.host.sources import source_of
from luminai.host.wiring import Wiring
from luminai.host.worker import DeadlineWorker
from luminai.http.table import AppEntry, OffEntry, PrefixTable
from luminai.work.subscriptions import kept

_log = logging.getLogger("luminai.host")
_OWN_CODE = (Phase.IMPORT, Phase.BIND, Phase.COLLECT, Phase.CHECK, Phase.MIGRATE, Phase.START)


class Builder:
    """Builds one generation. A plugin that fails is left out with its reason, and so are those that require it.

    Args:
        renew: Plugins to build anew although nothing about them changed.
    """

    def __init__(
        self, number: int, plan: Plan, runtime: Runtime, *, core: AppEntry, previous: Generation | None = None, renew: frozenset[str] = frozenset()
    ) -> None:
        self._number = number
        self._plan = plan
        self._runtime = runtime
        self._core = core
        self._previous = previous
        self._renew = renew
        self._failures: dict[str, Failure] = dict(plan.failures)
        self._wiring = Wiring(number, runtime, {planned.manifest.id: planned.manifest.requires for planned in plan.order})
        self._plugins: dict[str, Loaded] = {}
        self._fresh: dict[str, Loaded] = {}
        self._tried: set[str] = set()

    async def build(self) -> Generation:
        """Return the generation, its fresh plugins started. The one before is not touched."""
        try:
            self._wiring.events.remember(await self._runtime.database.read(kept))
            await self._load()
            await self._migrate()
            await self._start()
            self._wiring.meters.missing = self._missing_meters()
        except BaseException:  # cancelled: nothing that was started may stay
            for loaded in reversed(list(self._fresh.values())):
                await stop_plugin(loaded, seconds=1)
            raise
        return Generation(
            number=self._number,
            plan=self._plan,
            plugins=tuple(self._plugins.values()),
            table=self._table(),
            wiring=self._wiring,
            statuses=self._statuses(),
            failures=dict(self._failures),
            fresh=frozenset(self._fresh),
            tried=frozenset(self._tried),
        )

    async def _load(self) -> None:
        worker = DeadlineWorker("luminai-plugin-loader")
        try:
            for planned in self._plan.order:
                before = self._unchanged(planned)
                if before is not None and self._previous is not None:
                    self._plugins[before.id] = before
                    self._wiring.take_over(before.id, before.contributions, self._previous.wiring)
                elif not self._failed_before(planned):
                    await self._load_one(Loaded(planned), worker)
        finally:
            worker.close()

    async def _load_one(self, loaded: Loaded, worker: DeadlineWorker) -> None:
        self._tried.add(loaded.id)
        if self._blocked(loaded):
            return
        try:
            with self._runtime.inside(loaded.id, "load"):
                await worker.call(load, loaded, self._runtime, self._wiring, seconds=self._runtime.plugin_seconds)
        except Exception as error:  # noqa: BLE001 - whatever a plugin does wrong ends here
            self._fail(loaded, error)
            await self._drop(loaded)
        else:
            self._plugins[loaded.id] = self._fresh[loaded.id] = loaded

    def _unchanged(self, planned: Planned) -> Loaded | None:
        """Return the running plugin if it can come over: same code, same settings, and so for all that it requires."""
        before = self._previous.loaded(planned.manifest.id) if self._previous else None
        if before is None or before.id in self._renew or before.planned.differs(planned):
            return None
        came_over = self._plugins.keys() - self._fresh.keys()
        return before if came_over >= planned.manifest.requires.keys() else None

    def _failed_before(self, planned: Planned) -> bool:
        """Keep a failure of the plugin's own code: trying again without a reason would cost its deadline at every change."""
        if self._previous is None or planned.manifest.id in self._renew:
            return False
        failure = self._previous.failures.get(planned.manifest.id)
        before = next((one for one in self._previous.plan.order if one.manifest.id == planned.manifest.id), None)
        if failure is None or failure.phase not in _OWN_CODE or before is None or before.differs(planned):
            return False
        self._failures[planned.manifest.id] = failure
        return True

    def _blocked(self, loaded: Loaded) -> bool:
        failure = needs(loaded.planned.manifest, frozenset(self._plugins), self._plan.installed, self._failures)
        if failure is not None:
            self._failures[loaded.id] = failure
        return failure is not None

    async def _migrate(self) -> None:
        sources = {one.id: source_of(one.planned.installed, one.metadata) for one in self._fresh.values() if one.metadata is not None}
        if not sources:
            return
        waiting = await pending(self._runtime.database, list(sources.values()))
        if waiting and self._runtime.auto_migrate:
            await self._runtime.back_up()
        for loaded in list(self._fresh.values()):
            if self._blocked(loaded):
                await self._drop(loaded)
                continue
            steps = waiting.get(loaded.id)
            if not steps:
                continue
            loaded.phase = Phase.MIGRATE
            began = time.perf_counter()
            try:
                if not self._runtime.auto_migrate:
                    raise Conflict(f"{len(steps)} migrations are waiting", code="migration-needed", hint="Run `luminai db upgrade`.")
                await upgrade(self._runtime.database, sources[loaded.id])
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(loaded, error)
                await self._drop(loaded)
            loaded.timings[Phase.MIGRATE] = _since(began)

    async def _start(self) -> None:
        """Start in waves: plugins that do not wait for one another start at the same time, and a suspect alone."""
        waiting = dict(self._fresh)
        suspects = self._runtime.starts.suspects if self._runtime.starts else frozenset()
        while waiting:
            free = [one for one in waiting.values() if not one.planned.waits_for & (waiting.keys() - {one.id})]
            calm = [one for one in free if one.id not in suspects]
            wave = calm or free[:1]
            for loaded in wave:
                del waiting[loaded.id]
            ready = [loaded for loaded in wave if not self._blocked(loaded)]
            await asyncio.gather(*map(self._start_one, ready))
            for loaded in wave:
                if loaded not in ready:
                    await self._drop(loaded)

    async def _start_one(self, loaded: Loaded) -> None:
        loaded.phase, loaded.started = Phase.START, True
        acting.set(NOBODY)  # not the operator whose request turned the plugin on
        if loaded.hooks is None or "start" not in loaded.hooks:
            return
        began = time.perf_counter()
        end = began + self._runtime.plugin_seconds
        try:
            while True:
                try:
                    with self._runtime.inside(loaded.id, "start"), self._runtime.tracer.span(loaded.id, "hook start"):
                        await call_within(end - time.perf_counter(), loaded.hooks.call("start", ctx=loaded.context))
                    break
                except NotReady as waiting:
                    if time.perf_counter() + waiting.retry_after >= end:
                        raise Unavailable(waiting.reason, code="not-ready", hint="Start what it waits for.") from waiting
                    await asyncio.sleep(waiting.retry_after)
        except DeadlineExceeded:
            self._fail(loaded, DeadlineExceeded(f"start did not return within {self._runtime.plugin_seconds:g} s"))
            await self._drop(loaded)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(loaded, error)
            await self._drop(loaded)
        loaded.timings[Phase.START] = _since(began)

    async def _drop(self, loaded: Loaded) -> None:
        self._plugins.pop(loaded.id, None)
        self._fresh.pop(loaded.id, None)
        self._wiring.remove(loaded.id)
        await stop_plugin(loaded, seconds=1)

    def _fail(self, loaded: Loaded, error: Exception) -> None:
        failure = self._failures[loaded.id] = failure_of(loaded, error)
        _log.error(
            "plugin.failed",
            extra={"plugin": loaded.id, "phase": failure.phase, "reason": failure.reason},
            exc_info=error if not isinstance(error, HubError) else None,
        )

    def _missing_meters(self) -> tuple[str, ...]:
        """Return the plugins that count paid work and shall run, but do not: nothing is free because of it."""
        off = {plugin_id for plugin_id, state in self._plan.off.items() if state is not PluginState.QUARANTINED}
        wanted = self._plan.installed.items()
        meters = [plugin_id for plugin_id, found in wanted if found.manifest is not None and "meters" in found.manifest.provides]
        return tuple(plugin_id for plugin_id in meters if plugin_id not in self._plugins and plugin_id not in off)

    def _table(self) -> PrefixTable:
        entries: dict[str, Any] = dict.fromkeys(("/api", "/health", "/metrics", "/openapi", "/openapi.json", "/ws"), self._core)
        for plugin_id, installed in self._plan.installed.items():
            if installed.manifest is None:
                continue
            loaded = self._plugins.get(plugin_id)
            for prefix in installed.manifest.claimed_paths:
                if loaded is not None and loaded.entry is not None:
                    entries[prefix] = loaded.entry
                elif prefix != "/" and loaded is None:
                    entries.setdefault(prefix, OffEntry(plugin_id, self._off_error(plugin_id)))
        return PrefixTable(entries, root=self._core, generation=self._number, is_https=self._runtime.gate.hosts.is_https)

    def _off_error(self, plugin_id: str) -> HubError:
        status = self._status(plugin_id)
        hint = f"The operator sees why with `luminai plugins inspect {plugin_id}`."
        return Unavailable(
            f"Plugin {plugin_id} is {status.state}.", code="plugin-off", hint=hint, plugin=plugin_id, state=status.state, phase=status.phase
        )

    def _status(self, plugin_id: str, **fields: Any) -> PluginStatus:
        failure = self._failures.get(plugin_id)
        return self._plan.status(plugin_id, **((failed_fields(failure) if failure else {}) | fields))

    def _statuses(self) -> dict[str, PluginStatus]:
        known = {*self._plan.installed, *self._plan.settings, *self._plan.off, *self._failures}
        ids: Iterable[str] = [*self._plugins, *sorted(known - self._plugins.keys())]
        return {
            plugin_id: self._status(
                plugin_id,
                **({"running": True, "phase": Phase.READY, "timings_ms": self._plugins[plugin_id].timings} if plugin_id in self._plugins else {}),
            )
            for plugin_id in ids
        }


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
