"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}/[A-Za-z0-9][A-Za-z0-9._:/+-]{0,99}\Z", max_length=164)]


class VectorsConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.vectors.config]``."""

    model: Annotated[
        ModelName | None,
        Meta(description="Model that embeds collections which have none yet, as `provider/model`.", examples=["minilm/all-minilm-l6-v2"]),
    ] = None
    store: Annotated[
        str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}\Z", description="Store that keeps the vectors: `numpy`, or one of another plugin.")
    ] = "numpy"
    max_items: Annotated[int, Meta(ge=1_000, le=1_000_000, description="Most vectors of one owner's collection in the store `numpy`.")] = 300_000
    memory_mb: Annotated[int, Meta(ge=1, le=4_096, description="Memory for the indexes of the store `numpy`, in MiB.")] = 64
