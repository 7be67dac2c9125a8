"""Hook implementations: those of every plugin of providers over HTTP, and an action of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import Action, HttpAIPlugin, PluginContext, hookimpl
from luminai_voice_elevenlabs.config import ElevenLabsConfig
from luminai_voice_elevenlabs.provider import ElevenLabsProvider
from luminai_voice_elevenlabs.voices import list_voices


class Plugin(HttpAIPlugin[ElevenLabsProvider]):
    """Speech of ElevenLabs."""

    config: ClassVar = ElevenLabsConfig
    provider = ElevenLabsProvider

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer to ask for the models, and for the voices."""
        return [*super().actions(ctx), list_voices(self.ai_providers(ctx), "voice-elevenlabs:manage")]
