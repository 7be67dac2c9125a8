"""The hub: configuration, database and the serving generation put together into one application."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any

from msgspec.structs import replace

from luminai.audit.log import AuditLog
from luminai.audit.seal import Sealer
from luminai.config.binding import secret_resolver
from luminai.config.layers import Configuration
from luminai.config.problems import check_core
from luminai.config.settings import PluginHealthSettings
from luminai.contracts.context import Clock
from luminai.contracts.errors import ConfigRejected, Conflict, HubError, Unavailable
from luminai.contracts.spans import SPAN_POINT
from luminai.data.backups import backup_before
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, current, pending, upgrade
from luminai.data.rates import RateStore
from luminai.data.vault.hub_vault import HubVault
from luminai.data.wake_hints import WakeHints
from luminai.host.actions import DeclaredAction
from luminai.host.alerting import Alerting
from luminai.host.backup_keeper import BackupKeeper
from luminai.host.bisect import only_from_environment
from luminai.host.calls import contain_tasks
from luminai.host.core_app import CoreApp
from luminai.host.core_routes import core_handlers
from luminai.host.desired import BY_HUB, DesiredStore
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.host.documents import Documents
from luminai.host.endpoint_jobs import hand_on
from luminai.host.event_wiring import keep_subscriptions, telling
from luminai.host.generation import Generation, stop_plugins
from luminai.host.health_checks import RequestHealth, health_checks
from luminai.host.job_dispatch import JobDispatch
from luminai.host.job_rooms import JobRooms
from luminai.host.metrics import Metrics
from luminai.host.nodes import NodeRegistry
from luminai.host.parking import Parking
from luminai.host.parts import open_parts
from luminai.host.plugin_roles import follow_plugins
from luminai.host.privacy_erase import finish_erasures
from luminai.host.repairs import IgnoredRepairs
from luminai.host.report import PluginState, PluginStatus, StartupReport
from luminai.host.runtime import Runtime
from luminai.host.schedule_clock import ScheduleClock
from luminai.host.schedule_list import ScheduleList
from luminai.host.schedule_wiring import follow_declared
from luminai.host.starts import SAFE_AFTER, StartLog
from luminai.host.supervisor import Outcome, Supervisor
from luminai.host.upkeep import call_it_good, upkeep_of
from luminai.host.webhook_worker import WebhookWorker
from luminai.http.edge import Edge
from luminai.http.guard import Gate
from luminai.http.idempotency import Idempotency
from luminai.http.inventory import RouteEntry, inventory
from luminai.http.limits import Limits
from luminai.http.live import LiveStreams
from luminai.http.outbound.client import Outbound
from luminai.http.rooms.rooms import Rooms
from luminai.http.table import AppEntry, OffEntry, PrefixTable
from luminai.identity.authenticate import Verifier
from luminai.identity.identity import Identity
from luminai.identity.keys import KeyStore
from luminai.identity.tickets import Tickets
from luminai.telemetry.access import AccessLog
from luminai.telemetry.clock import SystemClock
from luminai.telemetry.health import HealthBoard
from luminai.telemetry.log_copy import LogCopy
from luminai.telemetry.stalls import StallWatch
from luminai.telemetry.trace import Tracer
from luminai.work.cache import HubCache
from luminai.work.endpoints import Endpoints
from luminai.work.event_list import EventLog
from luminai.work.job_list import JobList
from luminai.work.job_pauses import JobPauses
from luminai.work.mail_worker import MailWorker
from luminai.work.processes import ProcessPool

_log = logging.getLogger("luminai.hub")
UPKEEP_SECONDS = 5.0
"""How long a stop waits for what the hub does beside requests."""


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

    database: HubDatabase
    vault: HubVault
    audit: AuditLog
    sealer: Sealer
    keys: KeyStore
    rates: RateStore
    limits: Limits
    idempotency: Idempotency
    identity: Identity
    tickets: Tickets
    rooms: Rooms
    job_rooms: JobRooms
    verifier: Verifier
    desired: DesiredStore
    nodes: NodeRegistry
    ignored: IgnoredRepairs
    parking: Parking
    supervisor: Supervisor
    webhooks: WebhookWorker
    mail: MailWorker
    cache: HubCache
    hints: WakeHints | None
    jobs: JobDispatch
    processes: ProcessPool
    own_actions: tuple[DeclaredAction, ...]
    events: EventLog
    endpoints: Endpoints
    job_list: JobList
    job_pauses: JobPauses
    schedules: ScheduleClock
    schedule_list: ScheduleList
    report: StartupReport

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
        self.faults = config.left_out
        self._given = installed
        self._only = only if only is not None else only_from_environment()
        self._access_log = access_log
        self._starts = StartLog(self.data_dir, self.clock) if start_log else None
        self._reread = reread
        self._began = time.perf_counter()
        self._documents = Documents(lambda: core_handlers(self))
        self._upkeep: list[asyncio.Task[None]] = []
        self.health: HealthBoard | None = None
        self.request_health: dict[tuple[str, PluginHealthSettings], RequestHealth] = {}
        self.is_ready = False
        self._needs_backup = True
        self.backups = BackupKeeper(self)
        self.tracer = Tracer()
        self.outbound = Outbound(self.tracer)
        self.metrics = Metrics(self)
        self.alerts = Alerting(self)
        self.stalls = StallWatch(self.tracer.figures.loop_lag)
        nothing = PrefixTable({}, _nothing(), generation=0)
        self.live = LiveStreams(self.settings.connections, self.clock)
        self.edge = Edge(nothing, settings=self.settings, access_log=access_log, lifespan=self._lifespan, tracer=self.tracer, live=self.live)

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
        contain_tasks(asyncio.get_running_loop())
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.database = await open_database(self.settings.database.url, data_dir=self.data_dir, clock=self.clock)
        self.database.slow = self.settings.database.slow_ms / 1000
        try:
            await self._assemble()
        except BaseException:
            await self.outbound.close()
            await self.database.close()
            raise

    async def stop(self) -> None:
        """Refuse new work, drain and stop every plugin, close the database."""
        self.is_ready = False
        self.stalls.stop()
        for task in self._upkeep:
            task.cancel()
        late = (await asyncio.wait(self._upkeep, timeout=UPKEEP_SECONDS))[1] if self._upkeep else ()
        if late:
            _log.error("stop.upkeep.late", extra={"tasks": len(late)})
        await self.jobs.end_own()
        await self.supervisor.close()
        seconds = self.settings.server.drain_seconds
        if not await self.edge.table.drained(seconds):
            _log.warning("stop.drain.late", extra={"requests": self.edge.table.inflight})
        await stop_plugins(self.generation.plugins, seconds=seconds)
        await self.processes.close()
        await self.sealer.round()
        await self.outbound.close()
        await self.verifier.note_use()
        await self.nodes.leave()
        await self.rates.close()
        await self.cache.close()
        await self.rooms.log.close()
        await self.vault.tell()
        await self.database.close()
        if self._starts is not None:
            self._starts.went_well()
            self._starts.close()
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

    @cached_property
    def core_routes(self) -> list[RouteEntry]:
        """The core's own routes; they are the same as long as the hub runs, and making all of them takes tens of milliseconds."""
        return inventory("core", core_handlers(self))

    @property
    def access_lines_dropped(self) -> int:
        """Lines that the access log had no room for."""
        return self._access_log.dropped if self._access_log is not None else 0

    @property
    def log_copy(self) -> LogCopy | None:
        """Where a second copy of the log goes."""
        return self._access_log.copy if self._access_log is not None else None

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
        await open_parts(self)
        self.parking = Parking(self.settings.breaker, self.clock, self._park)
        if self._starts is not None:
            await self._learn_from_starts(self._starts)
        if self.safe_mode:
            self._only = frozenset(self.settings.hub.safe_plugins)
        server = self.settings.server
        self.supervisor = Supervisor(
            self.config,
            self.installed,
            self._runtime(),
            self.desired,
            self.edge,
            AppEntry("core", CoreApp(self, self._gate())),
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
        await finish_erasures(self)
        self._needs_backup = True
        self.is_ready = True
        self.stalls.start()
        self._upkeep = [asyncio.get_running_loop().create_task(task, name="luminai:upkeep") for task in upkeep_of(self)]
        if self._starts is not None and not self.safe_mode:
            self._upkeep.append(asyncio.get_running_loop().create_task(call_it_good(self._starts), name="luminai:upkeep"))

    def _gate(self) -> Gate:
        return Gate(
            authenticate=self.verifier,
            hosts=self.edge.hosts,
            limits=self.limits,
            idempotency=self.idempotency,
            tickets=self.tickets,
            live=self.live,
            denied=self.audit.denied,
        )

    def _runtime(self) -> Runtime:
        backends: dict[str, Any] = {}
        return Runtime(
            database=self.database,
            clock=self.clock,
            data_dir=self.data_dir,
            base_dir=self.config.base_dir,
            gate=self._gate(),
            resolve_secret=secret_resolver(backends),
            secret_backends=backends,
            make_breaker=self.parking.breaker,
            tracer=self.tracer,
            outbound=self.outbound,
            cache=self.cache,
            rooms=self.rooms,
            core_channels=self.job_rooms.channels,
            vault=self.vault,
            audit=self.audit,
            back_up=self._back_up,
            max_body_bytes=self.settings.server.max_body_bytes,
            plugin_seconds=self.settings.hub.plugin_seconds,
            auto_migrate=self.settings.database.migrate == "auto",
            wake_jobs=self.jobs.wake,
            hand_on=partial(hand_on, self),
            own_actions=self.own_actions,
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
        starts.begin(frozenset(one.id for one in self.installed()))
        starts.watch()
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
        self.database.committed = telling(self, generation)
        self.rooms.follow(generation.wiring.channels.find)
        self.tracer.untraced = generation.wiring.extenders(SPAN_POINT)
        self.tracer.sinks = generation.wiring.extensions.get(SPAN_POINT, ())
        await keep_subscriptions(self, generation)
        self.report = self._report(generation)
        contributed = [(loaded.id, loaded.contributions) for loaded in generation.plugins]
        self.verifier.authenticators = tuple(one for _, given in contributed for one in given.get("authenticators", ()))
        self.health = HealthBoard(health_checks(self, generation), self.clock, before=self.health, fresh=generation.fresh)
        self._documents.follow(generation)
        self.alerts.follow(generation)
        self.webhooks.wake()
        self.mail.wake()
        await follow_plugins(self, generation)
        await follow_declared(self, generation)
        self.jobs.look()
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
