"""The plugin's access to the hub in one generation."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from luminai.contracts.context import Clock, Database, Decisions, Providers
from luminai.data.ids import new_id
from luminai.host.calls import contained
from luminai.host.runtime import Runtime
from luminai.host.wiring import Wiring

T = TypeVar("T")
POOL_THREADS = 2


class Context:
    """Implements ``PluginContext``: what the plugin may use, and what the host must clean up after it."""

    def __init__(self, runtime: Runtime, wiring: Wiring, plugin_id: str, version: str, config: Any) -> None:
        self._runtime = runtime
        self.wiring = wiring
        self._pool: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closers: list[Callable[[], Awaitable[None] | None]] = []
        self.id = plugin_id
        self.version = version
        self.config = config
        self.log = logging.getLogger(f"luminai.plugins.{plugin_id}")

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
    def db(self) -> Database:
        """The hub's database."""
        return self._runtime.database

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
        task = asyncio.get_running_loop().create_task(contained(work), name=f"{self.id}:{name}")
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
