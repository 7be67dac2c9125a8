"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import Secret


class PgvectorConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.vectors-pgvector.config]``. ``url`` is the address of the PostgreSQL database, the hub's own or another one."""

    url: Secret | None = None
    connections: Annotated[int, Meta(ge=1, le=50, description="Most connections of a process to it.")] = 4
