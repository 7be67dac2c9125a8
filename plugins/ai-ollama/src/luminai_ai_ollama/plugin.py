"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import (
    Action,
    AIProvider,
    HealthCheck,
    PluginContext,
    ProblemItem,
    hookimpl,
    list_models_at_start,
    model_list_problems,
    refresh_models_action,
    services_check,
)
from luminai_ai_ollama.config import OllamaConfig
from luminai_ai_ollama.provider import OllamaProvider
from luminai_ai_ollama.pulling import pull_action


class Plugin:
    """Models of Ollama servers, over their own API."""

    config: ClassVar = OllamaConfig

    def __init__(self) -> None:
        self._providers: tuple[OllamaProvider, ...] = ()

    @hookimpl
    def ai_providers(self, ctx: PluginContext) -> Sequence[AIProvider]:
        """Offer one provider an instance."""
        return self._all(ctx)

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer to ask the servers for their models, and to have them pull one."""
        providers = self._all(ctx)
        return [refresh_models_action(providers, "ai-ollama:manage"), pull_action(providers, "ai-ollama:manage")]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the services can be called."""
        return [services_check(self._all(ctx))]

    @hookimpl
    async def ready(self, ctx: PluginContext) -> None:
        """Ask those servers for their models that are to be asked."""
        ctx.spawn(list_models_at_start(ctx, [one for one in self._all(ctx) if one.instance.list_models]), name="models")

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Try each server."""
        return await model_list_problems(self._all(ctx))

    def _all(self, ctx: PluginContext) -> Sequence[OllamaProvider]:
        self._providers = self._providers or tuple(OllamaProvider(ctx.http, one) for one in ctx.config.instances)
        return self._providers
