"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class ResonanceConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.resonance.config]``."""

    calculator: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\Z", max_length=48, description="Calculator used when none is named.")] = "formula-a"
