"""Tables: the deliveries that were handled."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, String, Table, UniqueConstraint

from luminai import JSONText, UTCDateTime, metadata_for

metadata: Final = metadata_for("github")

deliveries: Final = Table(
    "github__deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("delivery_id", String(200), nullable=False),
    Column("event", String(40), nullable=False),
    Column("repository", String(140), nullable=False),
    Column("happening", JSONText(), nullable=False, info={"data": "personal"}),
    Column("received_at", UTCDateTime(), nullable=False),
    UniqueConstraint("delivery_id"),
    Index(None, "repository", "id"),
    info={
        "data": "internal",
        "unlinked": "people are named by their login at GitHub, as github:<login>; the plugin finds and pseudonymises them",
        "retention": "until the plugin is purged",
    },
)
