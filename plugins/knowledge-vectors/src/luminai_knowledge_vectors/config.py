"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class KnowledgeVectorsConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.knowledge-vectors.config]``."""

    min_score: Annotated[
        float,
        Meta(ge=-1, le=1, description="Least cosine at which a passage counts as near; every search has nearest passages, also one for nonsense."),
    ] = 0.3
