"""Hook implementations: those of every plugin of providers over HTTP."""

from __future__ import annotations

from typing import ClassVar

from luminai import HttpAIPlugin
from luminai_ai_anthropic.config import AnthropicConfig
from luminai_ai_anthropic.provider import AnthropicProvider


class Plugin(HttpAIPlugin[AnthropicProvider]):
    """Models of Anthropic, over its Messages API."""

    config: ClassVar = AnthropicConfig
    provider = AnthropicProvider
