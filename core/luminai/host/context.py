"""The plugin's access to the hub in one generation."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from luminai.config.settings import PluginSettings
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Decisions, OwnedDatabase, Providers
from luminai.contracts.identity import Actor
from luminai.contracts.outbound import HttpClient
from luminai.data.ids import new_id
from luminai.data.keyed import current as keyed
from luminai.data.vault.sealing import PluginVault
from luminai.host.actions import PluginActions
from luminai.host.aggregates import PluginStreams
from luminai.host.calls import contained
from luminai.host.live import PluginLive
from luminai.host.metering import PluginMetering
from luminai.host.plugin_database import PluginDatabase
from luminai.host.runtime import Runtime
from luminai.host.wiring import Wiring
from luminai.telemetry.own_figures import OwnFigures
from luminai.work.cache import PluginCache

T = TypeVar("T")
POOL_THREADS = 2


class Context:
    """Implements ``PluginContext``: what the plugin may use, and what the host must clean up after it."""

    def __init__(self, runtime: Runtime, wiring: Wiring, plugin_id: str, version: str, config: Any, settings: PluginSettings) -> None:
        self._runtime = runtime
        self.wiring = wiring
        self._pool: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closers: list[Callable[[], Awaitable[None] | None]] = []
        self.id = plugin_id
        self.version = version
        self.config = config
        self._db = PluginDatabase(plugin_id, runtime.database, lambda: self.wiring.events, runtime.hand_on)
        self.events = PluginStreams(plugin_id, lambda: self.wiring.aggregates, self._db, runtime.clock)
        self.http: HttpClient = runtime.outbound.client(plugin_id, settings.approve, calls=settings.max_calls, streams=settings.max_streams)
        self.cache = PluginCache(runtime.cache, plugin_id, version)
        self.metrics = OwnFigures(plugin_id)
        self.vault = PluginVault(runtime.vault, plugin_id)
        self.actions = PluginActions(
            plugin_id,
            lambda: self.wiring.actions,
            lambda: self.wiring.requires.get(plugin_id, {}),
            vault=runtime.vault,
            clock=runtime.clock,
            wake=runtime.wake_jobs,
        )
        self.metering = PluginMetering(plugin_id, lambda: self.wiring.meters)
        self.live = PluginLive(plugin_id, runtime.rooms, lambda: self.wiring.channels)
        self.log = logging.getLogger(f"luminai.plugins.{plugin_id}")

    def audit(self, session: Session, actor: Actor | str, entry: AuditEntry, /) -> str:
        """Write an audit entry in the unit's own transaction."""
        return self._runtime.audit.record(session, actor, entry, source=self.id)

    @property
    def generation(self) -> int:
        """Number of the generation that the plugin runs in now."""
        return self.wiring.number

    @property
    def data_dir(self) -> Path:
        """The plugin's folder below the data folder; made on first use."""
        folder = self._runtime.data_dir / "plugins" / self.id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def base_dir(self) -> Path:
        """The folder of ``config.toml``."""
        return self._runtime.base_dir

    @property
    def db(self) -> OwnedDatabase:
        """The hub's database; what is published through it is checked against the plugin's own event types."""
        return self._db

    @property
    def clock(self) -> Clock:
        """The hub's clock."""
        return self._runtime.clock

    @property
    def providers(self) -> Providers:
        """What all running plugins contributed."""
        return self.wiring.providers

    @property
    def decisions(self) -> Decisions:
        """Decision chains of this generation."""
        return self.wiring.decisions

    def new_id(self, prefix: str) -> str:
        """Return a new id."""
        return new_id(prefix)

    def service(self, type_: type[T]) -> T:
        """Return the object of that type from a plugin that the manifest requires."""
        return self.wiring.services.find(self.id, type_)

    def extensions(self, point: str) -> Sequence[Any]:
        """Return what was put into this plugin's extension point."""
        return self.wiring.extensions.get(point, ())

    async def run_sync(self, function: Callable[..., T], /, *args: Any) -> T:
        """Run a blocking function in the plugin's own threads, so that it cannot starve another plugin."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix=f"plugin-{self.id}")
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    def spawn(self, work: Coroutine[Any, Any, T], /, *, name: str) -> Awaitable[T]:
        """Start a task that the host owns."""
        if self._runtime.tracer.sinks:
            work = self._runtime.tracer.traced(work, self.id, name)
        token = keyed.set(None)  # what it writes is not the request's effect
        task = asyncio.get_running_loop().create_task(contained(work), name=f"{self.id}:{name}")
        keyed.reset(token)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def own(self, close: Callable[[], Awaitable[None] | None], /) -> None:
        """Have the host call ``close`` after ``stop``."""
        self._closers.append(close)

    @property
    def running_tasks(self) -> int:
        """How many tasks the host holds for the plugin."""
        return len(self._tasks)

    async def close(self, *, seconds: float) -> None:
        """Let tasks end within ``seconds``, cancel the rest, then close what the plugin owned, last one first."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=5)
        for close in reversed(self._closers):
            try:
                answer = close()
                if inspect.isawaitable(answer):
                    async with asyncio.timeout(5):
                        await answer
            except Exception:
                self.log.exception("plugin.close.failed", extra={"plugin": self.id})
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("plugin.task.crashed", exc_info=error, extra={"plugin": self.id, "task": task.get_name()})
