"""``before_purge``: a plugin that is off takes out what it keeps outside the hub."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from luminai.config.binding import bind, secret_resolver
from luminai.config.layers import Configuration
from luminai.config.settings import PluginSettings
from luminai.contracts.cache import Cache
from luminai.contracts.context import Clock, Database, Decisions, OwnedDatabase, PluginContext, Providers
from luminai.contracts.errors import Conflict, HubError, Unavailable
from luminai.contracts.jobs import Actions
from luminai.contracts.live import Live
from luminai.contracts.metering import Metering
from luminai.contracts.metrics import Metrics
from luminai.contracts.outbound import HttpClient
from luminai.contracts.runtime import PurgeItem
from luminai.contracts.streams import Events
from luminai.contracts.vault import Vault
from luminai.data.ids import new_id
from luminai.host.discovery import InstalledPlugin
from luminai.host.hooks import bind_hooks

T = TypeVar("T")


class PurgeHookFailed(HubError):
    """The plugin could not take out what it keeps outside the hub."""

    status, default_code, title = 409, "purge-hook-failed", "The plugin could not clean up"


class _OfflineDatabase:
    """The database of a purge, which works on the rows of all. In a dry run it can only be read."""

    def __init__(self, database: Database, *, dry_run: bool) -> None:
        self.read = database.read
        self.stream = database.stream
        self.dialect = database.dialect
        self.write: Any = self._refuse_write if dry_run else database.write
        self.publish: Any = self._refuse if dry_run else database.publish

    def as_subject(self, _: str, /, *, organisation: str = "") -> Database:  # noqa: ARG002 - the protocol's shape
        """Return itself."""
        return self

    def as_system(self) -> Database:
        """Return itself."""
        return self

    async def _refuse_write(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        raise Conflict("A dry run writes nothing.", code="dry-run", hint="Look at dry_run in before_purge.")


class OfflineContext:
    """The context of a plugin that does not run: its settings, its folder, the database. No other plugin is there."""

    def __init__(self, installed: InstalledPlugin, config: Configuration, settings: Any, database: OwnedDatabase, clock: Clock) -> None:
        self.id = installed.id
        self.version = installed.version
        self.generation = 0
        self.config = settings
        self.db = database
        self.clock = clock
        self.base_dir = config.base_dir
        self.log = logging.getLogger(f"luminai.plugins.{installed.id}")
        self._folder = config.data_dir / "plugins" / installed.id
        self._tasks: list[asyncio.Task[Any]] = []
        self._closers: list[Callable[[], Awaitable[None] | None]] = []

    @property
    def data_dir(self) -> Path:
        """The plugin's folder; made on first use."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @property
    def providers(self) -> Providers:
        """Refuse: nothing runs."""
        self._refuse("providers")

    @property
    def actions(self) -> Actions:
        """Refuse: nothing runs."""
        self._refuse("actions")

    @property
    def events(self) -> Events:
        """Refuse: nothing runs."""
        self._refuse("streams")

    @property
    def live(self) -> Live:
        """Refuse: nobody watches."""
        self._refuse("rooms")

    @property
    def decisions(self) -> Decisions:
        """Refuse: nothing runs."""
        self._refuse("decisions")

    @property
    def cache(self) -> Cache:
        """Refuse: nothing runs."""
        self._refuse("the cache")

    @property
    def metrics(self) -> Metrics:
        """Refuse: nobody would read them."""
        self._refuse("metrics")

    @property
    def metering(self) -> Metering:
        """Refuse: nothing runs."""
        self._refuse("metering")

    @property
    def http(self) -> HttpClient:
        """Refuse: grants are of plugins that run."""
        self._refuse("outbound requests")

    @property
    def vault(self) -> Vault:
        """Refuse: nothing runs."""
        self._refuse("keys")

    def audit(self, session: Any, actor: Any, entry: Any, /) -> str:  # noqa: ARG002 - the contract's shape
        """Refuse: the purge itself is what is recorded."""
        self._refuse("audit entries")

    def new_id(self, prefix: str) -> str:
        """Return a new id."""
        return new_id(prefix)

    def service(self, type_: type[T]) -> T:
        """Refuse: nothing runs."""
        raise LookupError(f"{type_.__name__} is not there: no plugin runs while {self.id} is purged")

    def extensions(self, point: str) -> Sequence[Any]:  # noqa: ARG002 - the contract's shape
        """Return nothing: no plugin runs."""
        return ()

    async def run_sync(self, function: Callable[..., T], /, *args: Any) -> T:
        """Run a blocking function in a thread."""
        return await asyncio.to_thread(function, *args)

    def spawn(self, work: Coroutine[Any, Any, T], /, *, name: str) -> Awaitable[T]:
        """Start a task; it is cancelled when the hook has returned."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.id}:{name}")
        self._tasks.append(task)
        return task

    def own(self, close: Callable[[], Awaitable[None] | None], /) -> None:
        """Have ``close`` called at the end."""
        self._closers.append(close)

    async def close(self) -> None:
        """Cancel what still runs and close what the plugin owned, last one first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in reversed(self._closers):
            answer = close()
            if inspect.isawaitable(answer):
                await answer

    def _refuse(self, what: str) -> NoReturn:
        raise Unavailable(f"There are no {what} while {self.id} is purged.", code="not-running", plugin=self.id)


async def call_before_purge(
    installed: InstalledPlugin, config: Configuration, database: Database, clock: Clock, *, dry_run: bool
) -> tuple[list[PurgeItem], str]:
    """Return what lies outside the hub, and why the plugin could not be asked ("" when it was, or has no such hook).

    Raises:
        PurgeHookFailed: the hook did not do its work (not with ``dry_run``: then that is the reason returned).
    """
    settings = config.settings.plugins.get(installed.id) or PluginSettings()
    try:
        module, _, attribute = installed.entry_point.partition(":")
        plugin = getattr(import_module(module), attribute or "Plugin")()
        hooks = bind_hooks(plugin)
        if "before_purge" not in hooks:
            return [], ""
        struct = getattr(plugin, "config", None)
        bound = bind(struct, settings.config, secret_resolver({})) if struct is not None else None
    except Exception as error:  # noqa: BLE001 - importing a plugin may raise anything
        return [], f"it cannot be loaded: {_line(error)}"
    folder = config.data_dir / "plugins" / installed.id
    had_folder = folder.exists()
    own = OfflineContext(installed, config, bound, _OfflineDatabase(database, dry_run=dry_run), clock)
    context: PluginContext = own
    try:
        async with asyncio.timeout(config.settings.hub.plugin_seconds):
            items: list[PurgeItem] = list(await hooks.call("before_purge", ctx=context, dry_run=dry_run))
            await own.close()
    except Exception as error:
        if dry_run:
            return [], f"before_purge failed: {_line(error)}"
        hint = "Nothing was removed. Correct its settings, or uninstall the plugin and purge it then: what it keeps outside the hub stays there."
        raise PurgeHookFailed(f"before_purge of {installed.id} failed: {_line(error)}", hint=hint, plugin=installed.id) from error
    finally:
        if dry_run and not had_folder:
            with contextlib.suppress(OSError):
                folder.rmdir()
    return items, ""


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
