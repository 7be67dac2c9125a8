"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import Secret


class PgQueuerConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.engine-pgqueuer.config]``. ``url`` is the address of the PostgreSQL database, the hub's own or another one."""

    url: Secret
    connections: Annotated[int, Meta(ge=2, le=20, description="Most connections of a process to it.")] = 4
