"""The OpenAPI documents of the serving generation: one a plugin, made when first asked for, and all merged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from luminai import __version__
from luminai.host.generation import Generation
from luminai.http.openapi import merged_document, plugin_document


class Documents:
    """Keeps documents over swaps; only those of replaced plugins are made anew.

    Args:
        core_handlers: Returns the core's route handlers.
    """

    def __init__(self, core_handlers: Callable[[], Sequence[Any]]) -> None:
        self._core_handlers = core_handlers
        self._made: dict[str, dict[str, Any]] = {}

    async def get(self, plugin: str | None, generation: Generation) -> dict[str, Any]:
        """Return one plugin's document (``core`` for the core's), or with None the merged one.

        Raises:
            KeyError: no running plugin of that id has routes.
        """
        names = ["core", *(loaded.id for loaded in generation.plugins if loaded.entry is not None)]
        for name in names if plugin is None else [plugin]:
            if name not in self._made and name in names:
                self._made[name] = await asyncio.to_thread(self._make, name, generation)
        if plugin is not None:
            return self._made[plugin]
        return merged_document({name: self._made[name] for name in names}, version=__version__)

    def follow(self, generation: Generation) -> None:
        """Forget what the new generation replaced."""
        running = {loaded.id for loaded in generation.plugins} - generation.fresh
        self._made = {name: document for name, document in self._made.items() if name == "core" or name in running}

    def _make(self, name: str, generation: Generation) -> dict[str, Any]:
        if name == "core":
            return plugin_document("core", self._core_handlers(), title="LuminAI Hub core", version=__version__)
        loaded = next(loaded for loaded in generation.plugins if loaded.id == name)
        planned = loaded.planned
        return plugin_document(name, loaded.contributions["routes"], title=planned.manifest.title, version=planned.installed.version)
