"""Hook implementations: those of every plugin of providers over HTTP."""

from __future__ import annotations

from typing import ClassVar

from luminai import HttpAIPlugin
from luminai_ai_huggingface.config import HuggingFaceConfig
from luminai_ai_huggingface.provider import HuggingFaceProvider


class Plugin(HttpAIPlugin[HuggingFaceProvider]):
    """Pictures over Hugging Face's inference API."""

    config: ClassVar = HuggingFaceConfig
    provider = HuggingFaceProvider
