"""The hub: configuration, database and the serving generation put together into one application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from luminai.config.binding import secret_resolver
from luminai.config.layers import Configuration
from luminai.config.problems import check_core
from luminai.contracts.context import Clock
from luminai.contracts.errors import ConfigRejected, Conflict, HubError, Unavailable
from luminai.data.backups import backup_before
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, current, pending, upgrade
from luminai.host.bisect import only_from_environment
from luminai.host.core_routes import core_handlers
from luminai.host.desired import BY_HUB, DesiredStore
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.host.documents import Documents
from luminai.host.generation import Generation, stop_plugins
from luminai.host.nodes import NodeRegistry
from luminai.host.parking import Parking
from luminai.host.repairs import IgnoredRepairs
from luminai.host.report import PluginState, PluginStatus, StartupReport
from luminai.host.runtime import Runtime
from luminai.host.starts import SAFE_AFTER, StartLog
from luminai.host.supervisor import Outcome, Supervisor
from luminai.host.upkeep import call_it_good, follow, note_use
from luminai.http.edge import Edge
from luminai.http.plugin_app import build_app
from luminai.http.table import AppEntry, OffEntry, PrefixTable
from luminai.identity.authenticate import Verifier
from luminai.identity.keys import KeyStore
from luminai.telemetry.access import AccessLog
from luminai.telemetry.clock import SystemClock
from luminai.telemetry.health import HealthBoard
from luminai.telemetry.stalls import StallWatch
from luminai.telemetry.trace import Tracer

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
        only: Ids that may run; None for those of the variable ``LUMINAI_ONLY``, or all.
        safe: Run only the plugins of ``hub.safe-plugins``.
        access_log: Where request lines go.
        start_log: Whether crashes are counted over starts (a served hub does).
        reread: Reads the configuration again, for ``reload``.
    """

    def __init__(
        self,
        config: Configuration,
        *,
        clock: Clock | None = None,
        installed: list[InstalledPlugin] | None = None,
        only: frozenset[str] | None = None,
        safe: bool = False,
        access_log: AccessLog | None = None,
        start_log: bool = False,
        reread: Callable[[], Configuration] | None = None,
    ) -> None:
        self.config = config
        self.settings = config.settings
        self.clock: Clock = clock or SystemClock()
        self.data_dir = config.data_dir
        self.safe_mode = "asked for" if safe else ""
        self._given = installed
        self._only = only if only is not None else only_from_environment()
        self._access_log = access_log
        self._starts = StartLog(self.data_dir, self.clock) if start_log else None
        self._reread = reread
        self._began = time.perf_counter()
        self._documents = Documents(lambda: core_handlers(self))
        self._upkeep: list[asyncio.Task[None]] = []
        self.database: HubDatabase
        self.keys: KeyStore
        self.verifier: Verifier
        self.desired: DesiredStore
        self.nodes: NodeRegistry
        self.ignored: IgnoredRepairs
        self.parking: Parking
        self.supervisor: Supervisor
        self.health: HealthBoard | None = None
        self.report: StartupReport
        self.is_ready = False
        self._needs_backup = True
        self.tracer = Tracer()
        self.stalls = StallWatch()
        self.edge = Edge(PrefixTable({}, _nothing(), generation=0), access_log=access_log, lifespan=self._lifespan, tracer=self.tracer)

    @property
    def generation(self) -> Generation:
        """The serving generation."""
        return self.supervisor.generation

    def installed(self) -> list[InstalledPlugin]:
        """Return the installed plugins of now."""
        return self._given if self._given is not None else installed_plugins()

    async def start(self) -> None:
        """Open the database, build generation 1 and serve it.

        Raises:
            ConfigRejected: the core's own settings are wrong.
            StartRefused: a required plugin does not run.
            HubError: the database cannot be opened or migrated.
        """
        problems = check_core(self.config, installed_ids=[plugin.id for plugin in self.installed()])
        if problems:
            raise ConfigRejected(f"{len(problems)} problems in the configuration", errors=problems, hint="Run `luminai config check`.")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.database = await open_database(self.settings.database.url, data_dir=self.data_dir, clock=self.clock)
        try:
            await self._assemble()
        except BaseException:
            await self.database.close()
            raise

    async def stop(self) -> None:
        """Refuse new work, drain and stop every plugin, close the database."""
        self.is_ready = False
        self.stalls.stop()
        for task in self._upkeep:
            task.cancel()
        for task in self._upkeep:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.supervisor.close()
        seconds = self.settings.server.drain_seconds
        if not await self.edge.table.drained(seconds):
            _log.warning("stop.drain.late", extra={"requests": self.edge.table.inflight})
        await stop_plugins(self.generation.plugins, seconds=seconds)
        await self.verifier.note_use()
        await self.nodes.leave()
        await self.database.close()
        if self._starts is not None:
            self._starts.went_well()
        if self._access_log is not None:
            self._access_log.close()

    async def reload(self) -> Outcome:
        """Read the configuration again and serve by it.

        Raises:
            ConfigRejected: it cannot be read, or the core's own settings are wrong.
            ChangeRefused: a plugin cannot run that way; the old configuration stays.
        """
        if self._reread is None:
            raise Conflict("This hub was not started from files.", code="nothing-to-reload")
        config = await asyncio.to_thread(self._reread)
        problems = check_core(config, installed_ids=[plugin.id for plugin in self.installed()])
        if problems:
            raise ConfigRejected(f"{len(problems)} problems in the configuration", errors=problems, hint="Run `luminai config check`.")
        outcome = await self.supervisor.reload(config)
        self.config = self.supervisor.config
        return outcome

    async def document(self, plugin: str | None) -> dict[str, Any]:
        """Return the OpenAPI document of one plugin (``core`` for the core's), or the merged one.

        Raises:
            KeyError: no running plugin of that id has routes.
        """
        return await self._documents.get(plugin, self.generation)

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    async def _assemble(self) -> None:
        source = core_source()
        self._needs_backup = bool((await current(self.database, [source]))[source.owner_id])
        if await pending(self.database, [source]):
            await self._back_up()
            await upgrade(self.database, source)
        self.keys = KeyStore(self.database, self.clock)
        self.verifier = Verifier(self.keys, self.clock)
        self.desired = DesiredStore(self.database, self.clock)
        self.nodes = NodeRegistry(self.database, self.clock)
        self.ignored = IgnoredRepairs(self.database, self.clock)
        self.parking = Parking(self.settings.breaker, self.clock, self._park)
        if self._starts is not None:
            await self._learn_from_starts(self._starts)
        if self.safe_mode:
            self._only = frozenset(self.settings.hub.safe_plugins)
        server = self.settings.server
        core = build_app("core", core_handlers(self), authenticate=self.verifier, max_body_bytes=server.max_body_bytes)
        self.supervisor = Supervisor(
            self.config,
            self.installed,
            self._runtime(),
            self.desired,
            self.edge,
            AppEntry("core", core),
            only=self._only,
            drain_seconds=server.drain_seconds,
            swapped=self._swapped,
        )
        generation = await self.supervisor.first()
        await self._refuse_start(generation)
        for status in generation.statuses.values():
            if status.id in generation.failures and status.on_failure == "quarantine":
                await self.desired.set(status.id, False, by=f"{BY_HUB}{status.reason}"[:120])
                self.supervisor.revision += 1
        await self.supervisor.take_over(generation)
        self._needs_backup = True
        self.is_ready = True
        tasks = [note_use(self.verifier)]
        tasks += [follow(self.supervisor, self.nodes)] if self.database.dialect == "postgresql" else []
        tasks += [call_it_good(self._starts)] if self._starts is not None and not self.safe_mode else []
        self.stalls.start()
        self._upkeep = [asyncio.get_running_loop().create_task(task, name="luminai:upkeep") for task in tasks]

    def _runtime(self) -> Runtime:
        backends: dict[str, Any] = {}
        return Runtime(
            database=self.database,
            clock=self.clock,
            data_dir=self.data_dir,
            base_dir=self.config.base_dir,
            authenticate=self.verifier,
            resolve_secret=secret_resolver(backends),
            secret_backends=backends,
            make_breaker=self.parking.breaker,
            tracer=self.tracer,
            back_up=self._back_up,
            max_body_bytes=self.settings.server.max_body_bytes,
            plugin_seconds=self.settings.hub.plugin_seconds,
            auto_migrate=self.settings.database.migrate == "auto",
            starts=self._starts,
        )

    async def _back_up(self) -> None:
        """Before tables change: a backup of what was there, one a start, none of a database that this start made."""
        if self._needs_backup:
            path = await backup_before(self.database, self.data_dir, self.clock)
            self._needs_backup = self.is_ready
            if path is not None:
                _log.warning("backup.made", extra={"file": path.name})

    async def _learn_from_starts(self, starts: StartLog) -> None:
        starts.begin()
        for plugin, phase in starts.parked.items():
            _log.error("plugin.parked", extra={"plugin": plugin, "phase": phase})
            await self.desired.set(plugin, False, by=f"{BY_HUB}the process died twice while it was at {phase}")
        if starts.failed >= SAFE_AFTER and not starts.parked:
            self.safe_mode = f"{starts.failed} starts in a row went wrong"

    async def _refuse_start(self, generation: Generation) -> None:
        refused = [
            status.id
            for status in generation.statuses.values()
            if status.id in generation.failures and (status.on_failure == "required" or self.settings.hub.strict)
        ]
        if refused:
            await stop_plugins(generation.plugins, seconds=1)
            raise StartRefused(self._report(generation), refused)

    async def _park(self, plugin: str, reason: str) -> None:
        """Turn a plugin off that broke too often, if its policy is quarantine."""
        settings = self.settings.plugins.get(plugin)
        if settings is not None and settings.on_failure == "quarantine":
            wish = self.desired.wish(plugin, False, by=f"{BY_HUB}{reason}"[:120])
            await self.supervisor.change({plugin: wish}, by=wish.changed_by, summary=f"{plugin} parked", cascade=True)

    async def _swapped(self, generation: Generation) -> None:
        """Follow the supervisor: all that looks at the serving generation."""
        self.report = self._report(generation)
        contributed = [(loaded.id, loaded.contributions) for loaded in generation.plugins]
        self.verifier.authenticators = tuple(one for _, given in contributed for one in given.get("authenticators", ()))
        checks = [(plugin_id, check) for plugin_id, given in contributed for check in given.get("health_checks", ())]
        self.health = HealthBoard(checks, self.clock, before=self.health, fresh=generation.fresh)
        self._documents.follow(generation)
        try:
            await self.nodes.report(revision=self.supervisor.revision, generation=generation.number, problem=self.supervisor.problem)
        except HubError:  # it serves already: a full disk must not make a change look refused that was made
            _log.exception("node.report.failed")

    def _report(self, generation: Generation) -> StartupReport:
        statuses = [
            status if status.id not in generation.failures or status.on_failure != "quarantine" else _quarantined(status)
            for status in generation.statuses.values()
        ]
        return StartupReport(
            generation=generation.number,
            at=self.clock.now(),
            ready=True,
            degraded=bool(generation.failures) or any(status.state is PluginState.QUARANTINED for status in statuses),
            safe_mode=self.safe_mode,
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
