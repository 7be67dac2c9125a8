"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import AIError, AIProvider, Health, HealthCheck, HealthState, PluginContext, ProblemItem, hookimpl
from luminai_embed_minilm.config import MiniLMConfig
from luminai_embed_minilm.provider import MiniLMProvider


class Plugin:
    """Embeddings on this machine."""

    config: ClassVar = MiniLMConfig

    def __init__(self) -> None:
        self._provider: MiniLMProvider | None = None

    @hookimpl
    def ai_providers(self, ctx: PluginContext) -> Sequence[AIProvider]:
        """Offer the provider ``minilm``."""
        return [self._of(ctx)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the model can be used."""
        provider = self._of(ctx)

        async def check() -> Health:
            return Health(HealthState.DEGRADED, provider.problem) if provider.problem else Health(HealthState.OK)

        return [HealthCheck(name="model", check=check)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Load the model; without it the plugin runs, degraded."""
        try:
            await self._of(ctx).load()
        except AIError as error:
            ctx.log.warning("embed-minilm.not-usable", extra={"plugin": ctx.id, "reason": str(error)})

    @hookimpl
    async def stop(self, ctx: PluginContext) -> None:
        """Let the weights go: while they are mapped, their file stays open."""
        self._of(ctx).release()

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Load the model."""
        try:
            await self._of(ctx).load()
        except AIError as error:
            return [ProblemItem(str(error), pointer="folder")]
        return []

    def _of(self, ctx: PluginContext) -> MiniLMProvider:
        if self._provider is None:
            config: MiniLMConfig = ctx.config
            self._provider = MiniLMProvider(ctx.base_dir / config.folder if config.folder else None, config.max_tokens, ctx.run_sync)
        return self._provider
