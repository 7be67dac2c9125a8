"""The hub: configuration, database and a generation put together into one application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from luminai import __version__
from luminai.config.binding import secret_resolver
from luminai.config.layers import Configuration
from luminai.config.problems import check_core
from luminai.contracts.context import Clock
from luminai.contracts.errors import ConfigRejected, HubError, Unavailable
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, pending, upgrade
from luminai.host.checks import config_checker
from luminai.host.core_routes import core_handlers
from luminai.host.desired import DesiredStore
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.host.generation import Generation, Workshop
from luminai.host.plan import make_plan
from luminai.host.report import PluginState, PluginStatus, StartupReport
from luminai.http.edge import Edge
from luminai.http.openapi import merged_document, plugin_document
from luminai.http.plugin_app import build_app
from luminai.http.table import AppEntry, OffEntry, PrefixTable
from luminai.identity.authenticate import Verifier
from luminai.identity.keys import KeyStore
from luminai.telemetry.access import AccessLog
from luminai.telemetry.clock import SystemClock
from luminai.telemetry.health import HealthBoard

_log = logging.getLogger("luminai.hub")


class StartRefused(HubError):
    """A required plugin (or any, with ``strict``) does not run; ``report`` says why."""

    status, default_code, title = 503, "start-refused", "The hub does not start"

    def __init__(self, report: StartupReport, names: Iterable[str]) -> None:
        super().__init__(f"Required plugins do not run: {', '.join(names)}.", hint="The report names each plugin's cause and remedy.")
        self.report = report


class Hub:
    """One hub in this process.

    Args:
        config: The effective configuration.
        clock: Time; tests give their own.
        installed: Plugins to know instead of those of this Python environment.
        only: Ids that may run.
        access_log: Where request lines go.
    """

    def __init__(
        self,
        config: Configuration,
        *,
        clock: Clock | None = None,
        installed: list[InstalledPlugin] | None = None,
        only: frozenset[str] | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self.config = config
        self.settings = config.settings
        self.clock: Clock = clock or SystemClock()
        self.data_dir = config.data_dir
        self.installed = installed
        self._only = only
        self._access_log = access_log
        self._began = time.perf_counter()
        self._documents: dict[str, dict[str, Any]] = {}
        self._upkeep: asyncio.Task[None] | None = None
        self.database: HubDatabase
        self.keys: KeyStore
        self.verifier: Verifier
        self.desired: DesiredStore
        self.generation: Generation
        self.health: HealthBoard
        self.report: StartupReport
        self.is_ready = False
        self.edge = Edge(PrefixTable({}, _nothing()), generation=0, access_log=access_log, lifespan=self._lifespan)

    async def start(self) -> None:
        """Open the database, build generation 1 and serve it.

        Raises:
            ConfigRejected: the core's own settings are wrong.
            StartRefused: a required plugin does not run.
            HubError: the database cannot be opened or migrated.
        """
        installed = self.installed if self.installed is not None else installed_plugins()
        self.installed = installed
        problems = check_core(self.config, installed_ids=[plugin.id for plugin in installed])
        if problems:
            raise ConfigRejected(f"{len(problems)} problems in the configuration", errors=problems, hint="Run `luminai config validate`.")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.database = await open_database(self.settings.database.url, data_dir=self.data_dir, clock=self.clock)
        try:
            await self._assemble(installed)
        except BaseException:
            await self.database.close()
            raise

    async def stop(self) -> None:
        """Refuse new work, drain and stop every plugin, close the database."""
        self.is_ready = False
        if self._upkeep is not None:
            self._upkeep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._upkeep
        await self.generation.stop(seconds=self.settings.server.drain_seconds)
        await self.verifier.note_use()
        await self.database.close()
        if self._access_log is not None:
            self._access_log.close()

    async def document(self, plugin: str | None) -> dict[str, Any]:
        """Return the OpenAPI document of one plugin (``core`` for the core's), or the merged one."""
        names = ["core", *(loaded.id for loaded in self.generation.plugins if loaded.entry is not None)]
        wanted = names if plugin is None else [plugin]
        for name in wanted:
            if name not in self._documents and name in names:
                self._documents[name] = await asyncio.to_thread(self._make_document, name)
        if plugin is not None:
            return self._documents[plugin]
        return merged_document({name: self._documents[name] for name in names}, version=__version__)

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    def _make_document(self, name: str) -> dict[str, Any]:
        if name == "core":
            return plugin_document("core", core_handlers(self), title="LuminAI Hub core", version=__version__)
        loaded = next(loaded for loaded in self.generation.plugins if loaded.id == name)
        manifest = loaded.planned.manifest
        return plugin_document(name, loaded.contributions["routes"], title=manifest.title, version=loaded.planned.installed.version)

    async def _assemble(self, installed: list[InstalledPlugin]) -> None:
        source = core_source()
        if await pending(self.database, [source]):
            await upgrade(self.database, source)
        self.keys = KeyStore(self.database, self.clock)
        self.verifier = Verifier(self.keys, self.clock)
        self.desired = DesiredStore(self.database, self.clock)
        wishes = await self.desired.all()
        plan = make_plan(
            installed,
            self.settings.plugins,
            desired={plugin_id: wish.enabled for plugin_id, wish in wishes.items()},
            check_config=config_checker(self.config),
            only=self._only,
        )
        core_app = build_app("core", core_handlers(self), authenticate=self.verifier, max_body_bytes=self.settings.server.max_body_bytes)
        backends: dict[str, Any] = {}
        workshop = Workshop(
            1,
            database=self.database,
            clock=self.clock,
            data_dir=self.data_dir,
            base_dir=self.config.base_dir,
            authenticate=self.verifier,
            resolve_secret=secret_resolver(backends),
            secret_backends=backends,
            max_body_bytes=self.settings.server.max_body_bytes,
            seconds=self.settings.hub.plugin_seconds,
            auto_migrate=self.settings.database.migrate == "auto",
        )
        generation = await workshop.build(plan, core=AppEntry("core", core_app))
        await self._serve(generation)

    async def _serve(self, generation: Generation) -> None:
        self.generation = generation
        self.report = self._report(generation)
        refused = [
            status.id
            for status in self.report.plugins
            if status.id in generation.failures and (status.on_failure == "required" or self.settings.hub.strict)
        ]
        if refused:
            await generation.stop(seconds=1)
            raise StartRefused(self.report, refused)
        for status in self.report.plugins:
            if status.id in generation.failures and status.on_failure == "quarantine":
                await self.desired.set(status.id, False, by="quarantine")
        self.verifier.authenticators = tuple(
            authenticator for loaded in generation.plugins for authenticator in loaded.contributions.get("authenticators", ())
        )
        checks = [(loaded.id, check) for loaded in generation.plugins for check in loaded.contributions.get("health_checks", ())]
        self.health = HealthBoard(checks, self.clock)
        self.edge.table = generation.table
        self.edge.announce(generation.number)
        self.is_ready = True
        self._upkeep = asyncio.get_running_loop().create_task(self._keep_up(), name="luminai:upkeep")
        await generation.announce_ready(seconds=self.settings.hub.plugin_seconds)

    async def _keep_up(self) -> None:
        """Now and then write down which keys were used."""
        while True:
            await asyncio.sleep(30)
            try:
                await self.verifier.note_use()
            except HubError:
                _log.exception("upkeep.failed")

    def _report(self, generation: Generation) -> StartupReport:
        statuses = [
            status if status.id not in generation.failures or status.on_failure != "quarantine" else _quarantined(status)
            for status in generation.statuses.values()
        ]
        return StartupReport(
            generation=generation.number,
            at=self.clock.now(),
            ready=True,
            degraded=bool(generation.failures),
            plugins=tuple(statuses),
            total_ms=round(self.uptime * 1000, 1),
        )

    async def _lifespan(self, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Start and stop with the server."""
        await receive()
        try:
            if not self.is_ready:
                await self.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _quarantined(status: PluginStatus) -> PluginStatus:
    remedy = f"{status.remedy} Then release it: `luminai plugins enable {status.id}`."
    return replace(status, state=PluginState.QUARANTINED, remedy=remedy.strip())


def _nothing() -> OffEntry:
    return OffEntry("core", Unavailable("The hub is starting.", code="starting", retry_after=1))
