"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

ProductFile = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z", min_length=1, max_length=400)]


class CreditsConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.credits.config]``."""

    products: Annotated[
        tuple[ProductFile, ...],
        Meta(max_length=20, description="Product files to import at each start: paths beside config.toml, or `lumiku` and `phoenix`, the samples."),
    ] = ()
    free_invalid_per_hour: Annotated[
        int, Meta(ge=0, le=1000, description="How often an hour a person's work may end for a wrong input without being charged.")
    ] = 10
