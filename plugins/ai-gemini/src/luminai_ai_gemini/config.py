"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import InstanceName, ProviderInstance, ServiceUrl


class GeminiInstance(ProviderInstance, frozen=True, kw_only=True):
    """One service that speaks the Gemini API."""

    name: InstanceName = "gemini"
    base_url: ServiceUrl = "https://generativelanguage.googleapis.com/v1beta"


class GeminiConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-gemini.config]``."""

    instances: Annotated[tuple[GeminiInstance, ...], Meta(max_length=16, description="The services, each with a name of its own.")] = ()
