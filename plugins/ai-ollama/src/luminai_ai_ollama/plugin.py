"""Hook implementations: those of every plugin of providers over HTTP, and an action of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import Action, HttpAIPlugin, PluginContext, hookimpl
from luminai_ai_ollama.config import OllamaConfig
from luminai_ai_ollama.provider import OllamaProvider
from luminai_ai_ollama.pulling import pull_action


class Plugin(HttpAIPlugin[OllamaProvider]):
    """Models of Ollama servers, over their own API."""

    config: ClassVar = OllamaConfig
    provider = OllamaProvider

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer to ask the servers for their models, and to have them pull one."""
        return [*super().actions(ctx), pull_action(self.ai_providers(ctx), "ai-ollama:manage")]
