"""Hook implementations: those of every plugin of providers over HTTP."""

from __future__ import annotations

from typing import ClassVar

from luminai import HttpAIPlugin
from luminai_ai_gemini.config import GeminiConfig
from luminai_ai_gemini.provider import GeminiProvider


class Plugin(HttpAIPlugin[GeminiProvider]):
    """Models of Google, over the Gemini API."""

    config: ClassVar = GeminiConfig
    provider = GeminiProvider
