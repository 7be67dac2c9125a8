"""The plugin under test: its files, its object, and hubs that run it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from luminai.contracts.context import Clock
from luminai.contracts.manifest import Manifest
from luminai.host.discovery import InstalledPlugin
from luminai.host.hooks import BoundHooks, bind_hooks
from luminai.host.loading import Loaded
from luminai.host.report import PluginState, PluginStatus
from luminai.testing.conformance.rules import CannotTell
from luminai.testing.conformance.settings import secret_settings, smallest
from luminai.testing.harness import HubUnderTest, running_hub

T = TypeVar("T")
CANARY: Final = "canary-9f2c41d7b0"
"""What every secret's value begins with while a plugin is checked."""
DRAIN_SECONDS: Final = 1.0
"""How long a stopped plugin's requests and tasks may end by themselves; a task that runs for ever costs it at each stop."""
HANG_SECONDS: Final = 1.0
"""Deadline of each phase in hubs whose plugin is made to hang."""


class Subject:
    """A plugin and what is installed around it.

    Args:
        settings: The plugin's own settings; without them the smallest that its schema accepts are made.
    """

    def __init__(self, plugin: InstalledPlugin, installed: Sequence[InstalledPlugin], *, settings: Mapping[str, Any] | None = None) -> None:
        self.plugin = plugin
        self.installed = list(installed)
        self._given = settings

    @property
    def id(self) -> str:
        """The plugin's id."""
        return self.plugin.id

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""
        if self.plugin.manifest is None:
            raise CannotTell("the manifest cannot be used")
        return self.plugin.manifest

    @cached_property
    def kind(self) -> type:
        """The class of the plugin object."""
        module, _, attribute = self.plugin.entry_point.partition(":")
        kind: type = getattr(import_module(module), attribute or "Plugin")
        return kind

    @cached_property
    def hooks(self) -> BoundHooks:
        """Its hooks, checked."""
        return bind_hooks(self.kind())

    @property
    def struct(self) -> Any:
        """The Struct of its settings; None without."""
        return getattr(self.kind, "config", None)

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """Its committed schema; None without."""
        try:
            found: dict[str, Any] = json.loads(self.plugin.schema_path.read_bytes())
        except FileNotFoundError:
            return None
        return found

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings to run it with."""
        if self._given is not None:
            return dict(self._given)
        return smallest(self.schema) if self.schema else {}

    @cached_property
    def requires(self) -> tuple[str, ...]:
        """Ids of all plugins that must run before it, those of those too."""
        return self.required_by(self.id)

    def required_by(self, plugin: str) -> tuple[str, ...]:
        """Return the ids of all plugins that must run before ``plugin``, those of those too."""
        by_id = {one.id: one.manifest for one in (*self.installed, self.plugin) if one.manifest is not None}
        found: dict[str, None] = {}
        waiting = list(by_id[plugin].requires) if plugin in by_id else []
        while waiting:
            other = waiting.pop()
            if other not in found and other in by_id:
                found[other] = None
                waiting += by_id[other].requires
        return tuple(found)

    @asynccontextmanager
    async def hub(
        self,
        *,
        with_it: bool = True,
        config: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        plugin_seconds: float = 30.0,
        clock: Clock | None = None,
        beside: Sequence[str] = (),
    ) -> AsyncIterator[HubUnderTest]:
        """Run a hub with the plugin, what it requires, those ``beside`` it, and nothing else."""
        plugins = tuple(dict.fromkeys((*self.requires, *beside, *((self.id,) if with_it else ()))))
        wanted = {self.id: self.settings if config is None else config}
        more: dict[str, Any] = {"hub": {"plugin-seconds": plugin_seconds}, "server": {"drain-seconds": DRAIN_SECONDS}}
        with self.secrets():
            given = wanted if with_it else None
            async with running_hub(*plugins, config=given, settings=more, installed=self.installed, folder=folder, clock=clock) as hub:
                yield hub

    @contextmanager
    def secrets(self) -> Iterator[None]:
        """Set the variables that the secret settings refer to."""
        names = [f"LUMINAI_SAMPLE{number or ''}" for number in range(len(secret_settings(self.schema or {})) + 1)]
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: f"{CANARY}-{number}" for number, name in enumerate(names)})
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    @cached_property
    def trial(self) -> tuple[PluginStatus, Loaded | None]:
        """What became of it in a hub with only what it requires."""

        async def main() -> tuple[PluginStatus, Loaded | None]:
            async with self.hub() as hub:
                return hub.status(self.id), hub.hub.generation.loaded(self.id)

        return self.run(main())

    @property
    def loaded(self) -> Loaded:
        """The plugin as it was loaded in the trial."""
        status, loaded = self.trial
        if loaded is None:
            raise CannotTell(f"it does not run: {status.reason}")
        return loaded

    def is_running(self, hub: HubUnderTest) -> bool:
        """Tell whether it runs in ``hub``."""
        status = hub.status(self.id)
        return status.running and status.state is PluginState.ENABLED

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in a loop of its own."""
        return asyncio.run(work)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Return a folder that is removed at the end."""
        with tempfile.TemporaryDirectory(prefix="luminai-conformance-") as folder:
            yield Path(folder)
