"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Language = Literal["english", "french", "german", "spanish"]


class OfflineConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-offline.config]``."""

    max_quotes: Annotated[int, Meta(ge=1, le=8, description="Most sentences quoted in one answer.")] = 3
    min_coverage: Annotated[
        float, Meta(ge=0, le=1, description="Least share of the question's words that the quotations must cover; below it the answer is a refusal.")
    ] = 0.6
    passages: Annotated[int, Meta(ge=1, le=50, description="Sections looked at for one question.")] = 12
    languages: Annotated[
        tuple[Language, ...], Meta(min_length=1, max_length=4, description="Languages whose function words are left out of a question.")
    ] = ("english", "french", "german", "spanish")
