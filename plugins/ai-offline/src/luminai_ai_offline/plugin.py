"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import AIProvider, PluginContext, hookimpl
from luminai_ai_offline.config import OfflineConfig
from luminai_ai_offline.provider import OfflineProvider
from luminai_knowledge import Knowledge


class Plugin:
    """Answers by quotation."""

    config: ClassVar = OfflineConfig

    @hookimpl
    def ai_providers(self, ctx: PluginContext) -> Sequence[AIProvider]:
        """Offer the provider ``offline``."""
        return [OfflineProvider(ctx.service(Knowledge), ctx.config, ctx.run_sync)]
