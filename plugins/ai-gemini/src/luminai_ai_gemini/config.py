"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import ProviderInstance


class GeminiInstance(ProviderInstance, frozen=True, kw_only=True):
    """One service that speaks the Gemini API."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*$", max_length=32, description="Name in the hub: models are `<name>/<model>`.")] = "gemini"
    base_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?$",
            max_length=1024,
            description="Address up to `/v1beta`, without a slash at the end; its host and port must be approved.",
        ),
    ] = "https://generativelanguage.googleapis.com/v1beta"


class GeminiConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-gemini.config]``."""

    instances: Annotated[tuple[GeminiInstance, ...], Meta(max_length=16, description="The services, each with a name of its own.")] = ()
