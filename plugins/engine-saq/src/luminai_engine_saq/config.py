"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import Secret


class SaqConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.engine-saq.config]``. ``url`` is the address of the Redis server."""

    url: Secret
    queue: Annotated[
        str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z", description="What the queue is called there; each hub on one Redis needs its own.")
    ] = "luminai"
