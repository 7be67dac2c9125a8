"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import ProviderInstance


class OllamaInstance(ProviderInstance, frozen=True, kw_only=True):
    """One Ollama server."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*$", max_length=32, description="Name in the hub: models are `<name>/<model>`.")] = "ollama"
    base_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?$",
            max_length=1024,
            description="Address of the server, without a slash at the end; its host and port must be approved.",
        ),
    ] = "http://127.0.0.1:11434"
    list_models: Annotated[bool, Meta(description="Ask the server at the start which models it has, and offer them too.")] = True


class OllamaConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-ollama.config]``."""

    instances: Annotated[tuple[OllamaInstance, ...], Meta(max_length=16, description="The servers, each with a name of its own.")] = (
        OllamaInstance(),
    )
