"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from luminai import Persona, PluginContext, Service, hookimpl
from luminai_personas.canon import canonical_personas
from luminai_personas.config import PersonasConfig
from luminai_personas.directory import PersonaDirectory
from luminai_personas.routes import handlers


def _directory(ctx: PluginContext) -> PersonaDirectory:
    config: PersonasConfig = ctx.config
    return PersonaDirectory(lambda: ctx.providers.personas, default=config.default, disabled=frozenset(config.disabled))


class Plugin:
    """The canonical personas."""

    config: ClassVar = PersonasConfig

    @hookimpl
    def personas(self) -> Sequence[Persona]:
        """Offer the canonical five."""
        return canonical_personas()

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer the directory."""
        return [Service(PersonaDirectory, _directory(ctx))]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer the list of personas."""
        return handlers(_directory(ctx))
