"""The core's tables of webhooks."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

webhook_inbox: Final = Table(
    "core__webhook_inbox",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("plugin", String(32), nullable=False),
    Column("name", String(40), nullable=False, info={"data": "internal"}),
    Column("delivery_id", String(200), nullable=False),
    Column("digest", LargeBinary(32)),
    Column("summary", String(200), nullable=False),
    Column("queued", Integer, nullable=False),
    Column("event", LargeBinary, info={"data": "sensitive"}),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("received_at", UTCDateTime(), nullable=False),
    Column("next_at", UTCDateTime(), nullable=False),
    Column("lease", String(32)),
    Column("settled_at", UTCDateTime()),
    Column("error", String(500), nullable=False),
    UniqueConstraint("plugin", "name", "delivery_id"),
    UniqueConstraint("plugin", "name", "digest"),
    Index(None, "plugin", "state", "next_at"),
    Index(None, "settled_at"),
    info={
        "data": "internal",
        "unlinked": "a service outside names whom it means in its own words; sealed under the hub's key and emptied when done",
        "retention": "30 days after it is settled",
    },
)
"""Verified deliveries. ``digest`` is the SHA-256 of the raw body, null where the signature covers the delivery id. ``next_at`` is when the
delivery may be taken: while ``lease`` is set, the moment at which whoever holds it counts as dead. ``event`` is sealed by the vault, and empty
once the delivery is done or discarded."""
