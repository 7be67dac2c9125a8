"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Question = Annotated[str, Meta(min_length=1, max_length=200)]


class SiteConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.site.config]``."""

    title: Annotated[str, Meta(min_length=1, max_length=60, description="Name shown in the header.")] = "LuminAI Hub"
    examples: Annotated[tuple[Question, ...], Meta(max_length=6, description="Questions offered in the playground.")] = (
        "What is a generation?",
        "How do I enable a plugin?",
        "How is the resonance value computed?",
    )
