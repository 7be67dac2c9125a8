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
from luminai_ai_anthropic.config import AnthropicConfig
from luminai_ai_anthropic.provider import AnthropicProvider


class Plugin:
    """Models of Anthropic, over its Messages API."""

    config: ClassVar = AnthropicConfig

    def __init__(self) -> None:
        self._providers: tuple[AnthropicProvider, ...] = ()

    @hookimpl
    def ai_providers(self, ctx: PluginContext) -> Sequence[AIProvider]:
        """Offer one provider an instance."""
        return self._all(ctx)

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer to ask the services for their models."""
        return [refresh_models_action(self._all(ctx), "ai-anthropic:manage")]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the services can be called."""
        return [services_check(self._all(ctx))]

    @hookimpl
    async def ready(self, ctx: PluginContext) -> None:
        """Ask those services for their models that are to be asked."""
        ctx.spawn(list_models_at_start(ctx, [one for one in self._all(ctx) if one.instance.list_models]), name="models")

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Try each service with its key."""
        return await model_list_problems(self._all(ctx))

    def _all(self, ctx: PluginContext) -> Sequence[AnthropicProvider]:
        self._providers = self._providers or tuple(AnthropicProvider(ctx.http, one) for one in ctx.config.instances)
        return self._providers
