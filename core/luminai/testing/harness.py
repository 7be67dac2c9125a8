"""The real core with only the named plugins, in a folder of the test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from luminai.config.layers import Configuration, Layer
from luminai.contracts.context import Clock
from luminai.contracts.identity import Actor
from luminai.data.sqlite import FILE_NAME
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.host.hub import Hub
from luminai.host.report import PluginStatus
from luminai.host.supervisor import Outcome
from luminai.http.inprocess import InProcessClient
from luminai.testing import postgres, sqlite
from luminai.testing.clock import FrozenClock


class HubUnderTest:
    """A started hub and clients to it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def client(self, *scopes: str, subject: str = "user_test", organisation: str = "", address: str = "127.0.0.1") -> InProcessClient:
        """Return a client signed in with ``scopes`` as ``subject``, acting for ``organisation`` if one is given; without scopes an anonymous one."""
        if not scopes:
            return InProcessClient(self.hub.edge, address=address)
        actor = Actor(id=f"key_{subject}", subject=subject, scopes=frozenset(scopes), name=subject, organisation=organisation)
        return InProcessClient(self.hub.edge, actor=actor, address=address)

    def with_key(self, key: str) -> InProcessClient:
        """Return a client that sends an API key like any client outside."""
        return InProcessClient(self.hub.edge, headers={"authorization": f"Bearer {key}"})

    def state(self, plugin: str) -> str:
        """Return a plugin's state."""
        return self.status(plugin).state

    def status(self, plugin: str) -> PluginStatus:
        """Return all that the hub says about a plugin."""
        return next(status for status in self.hub.report.plugins if status.id == plugin)

    async def swap(self, plugin: str, *, enabled: bool | None = None, config: Mapping[str, Any] | None = None, cascade: bool = False) -> Outcome:
        """Turn a plugin on or off, or change its settings, in the running hub as an operator does; without either, build it anew.

        Returns when the replaced plugins are stopped.

        Raises:
            ChangeRefused: it cannot run that way; everything stayed as it was.
        """
        hub = self.hub
        update = {}
        if enabled is not None or config is not None:
            is_on = self.status(plugin).running if enabled is None else enabled
            update = {plugin: hub.desired.wish(plugin, is_on, by="test", config=dict(config) if config else None)}
        done = await hub.supervisor.change(update, by="test", summary=f"swap {plugin}", cascade=cascade, renew=frozenset({plugin}))
        await hub.supervisor.settle()
        return done

    async def advance(self, seconds: float) -> None:
        """Move the hub's ``FrozenClock`` on, and run what becomes due on the way, each at its moment: schedules fire, jobs begin.

        Raises:
            TypeError: the hub was started with another clock.
        """
        hub, clock = self.hub, self.hub.clock
        if not isinstance(clock, FrozenClock):
            raise TypeError("the hub has no FrozenClock: running_hub(…, clock=FrozenClock())")
        end = clock.now() + timedelta(seconds=seconds)
        while True:
            await hub.schedules.settle()
            await hub.jobs.settle()
            now = clock.now()
            if now >= end:
                return
            known = (await hub.schedules.next_moment(), await hub.jobs.next_moment())
            ahead = [moment for moment in known if moment is not None and moment > now]  # what is due and not run now is paused, say
            clock.advance((min([end, *ahead]) - now).total_seconds())

    def provide(self, family: str, *items: Any, owner: str = "test") -> None:
        """Offer doubles to the plugins of the serving generation, as a plugin ``owner`` would; ``family`` as in ``ai_providers``."""
        self.hub.generation.wiring.providers.add(family, owner, items)


@asynccontextmanager
async def running_hub(
    *plugins: str,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
    installed: Sequence[InstalledPlugin] | None = None,
    folder: Path | None = None,
    database_url: str = "",
    upgrade_from: Path | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[HubUnderTest]:
    """Start a hub with ``plugins`` and stop it at the end.

    Args:
        plugins: Ids of the plugins to enable; all grants that their manifests ask for are approved.
        config: Each plugin's own settings by id.
        settings: Further tables of config.toml, e.g. ``{"hub": {"strict": True}}``; ``plugins`` tables are merged.
        installed: Plugins to know instead of the installed ones.
        folder: Folder of config.toml and data; a temporary one otherwise.
        database_url: PostgreSQL instead of SQLite; `LUMINAI_TEST_POSTGRES` names a server for all tests.
        upgrade_from: A SQLite file that an earlier release of a plugin left; the hub starts on a copy of it and migrates it.
    """
    with tempfile.TemporaryDirectory(prefix="luminai-test-") as temporary:
        base = folder or Path(temporary)
        on_server = bool(postgres.server()) and not database_url and upgrade_from is None
        if upgrade_from is not None:
            (base / "data").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(upgrade_from, base / "data" / FILE_NAME)
        database_url = await postgres.database_for(base) if on_server else database_url
        if not database_url:
            await sqlite.lay_down(base / "data")
        known = list(installed) if installed is not None else installed_plugins()
        asked = {plugin.id: plugin.manifest.grants for plugin in known if plugin.manifest is not None}
        sections = {
            plugin: {"enabled": True, "approve": [*asked.get(plugin, ())], "config": dict((config or {}).get(plugin, {}))} for plugin in plugins
        }
        own = Layer("file", "config.toml", {"database": {"url": database_url}, "plugins": sections}, {}, {})
        more = Layer("command line", "", {"limits": {"enabled": False}, **dict(settings or {})}, {}, {})
        hub = Hub(Configuration([own, more], (), base), clock=clock, installed=list(installed) if installed is not None else None)
        try:
            await hub.start()
            try:
                yield HubUnderTest(hub)
            finally:
                await hub.stop()
        finally:
            if on_server and folder is None:
                await postgres.drop_database(base)
