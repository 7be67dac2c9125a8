"""Hook implementations: those of every plugin of providers over HTTP."""

from __future__ import annotations

from typing import ClassVar

from luminai import HttpAIPlugin
from luminai_ai_openai.config import OpenAIConfig
from luminai_ai_openai.provider import OpenAIProvider


class Plugin(HttpAIPlugin[OpenAIProvider]):
    """Models of OpenAI and of every service that speaks its API."""

    config: ClassVar = OpenAIConfig
    provider = OpenAIProvider
