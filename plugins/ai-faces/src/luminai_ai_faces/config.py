"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class FacesConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.ai-faces.config]``."""

    heartbeat_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="Silence after which a stream says that it still stands, and longest wait for its first event.")
    ] = 15.0
    total_seconds: Annotated[float, Meta(ge=0.1, le=3600, description="Deadline of a whole call; a shorter one of the gateway's comes first.")] = (
        600.0
    )
