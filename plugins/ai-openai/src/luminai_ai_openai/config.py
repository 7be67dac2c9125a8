"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from luminai import InstanceName, ProviderInstance, ServiceUrl

OPENAI = "https://api.openai.com/v1"


class OpenAIInstance(ProviderInstance, frozen=True, kw_only=True):
    """One service that speaks OpenAI's API."""

    name: InstanceName = "openai"
    base_url: ServiceUrl = OPENAI
    limit_field: Annotated[
        Literal["auto", "max_tokens", "max_completion_tokens"],
        Meta(description="What the service calls the most tokens of a reply; auto: the new name at OpenAI itself, the old one elsewhere."),
    ] = "auto"
    usage_in_streams: Annotated[bool, Meta(description="Ask for the tokens used in streams; off for services that refuse `stream_options`.")] = True


class OpenAIConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-openai.config]``."""

    instances: Annotated[tuple[OpenAIInstance, ...], Meta(max_length=16, description="The services, each with a name of its own.")] = ()
