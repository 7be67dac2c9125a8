"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import InstanceName, ProviderInstance, ServiceUrl


class AnthropicInstance(ProviderInstance, frozen=True, kw_only=True):
    """One service that speaks the Messages API."""

    name: InstanceName = "anthropic"
    base_url: ServiceUrl = "https://api.anthropic.com/v1"
    default_max_tokens: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Most tokens of a reply when neither the caller nor the model says: the API wants a number.")
    ] = 4096


class AnthropicConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-anthropic.config]``."""

    instances: Annotated[tuple[AnthropicInstance, ...], Meta(max_length=16, description="The services, each with a name of its own.")] = ()
