"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import InstanceName, ProviderInstance, ServiceUrl


class OllamaInstance(ProviderInstance, frozen=True, kw_only=True):
    """One Ollama server."""

    name: InstanceName = "ollama"
    base_url: ServiceUrl = "http://127.0.0.1:11434"
    list_models: Annotated[bool, Meta(description="Ask the server at the start which models it has, and offer them too.")] = True


class OllamaConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-ollama.config]``."""

    instances: Annotated[tuple[OllamaInstance, ...], Meta(max_length=16, description="The servers, each with a name of its own.")] = (
        OllamaInstance(),
    )
