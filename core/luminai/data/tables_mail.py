"""The core's tables of mail."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

mail: Final = Table(
    "core__mail",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, index=True, info={"data": "personal"}),
    Column("head", LargeBinary, nullable=False, info={"data": "sensitive"}),
    Column("content", LargeBinary, info={"data": "sensitive", "secret": True}),
    Column("is_sealed", Boolean, nullable=False),
    Column("address_digest", LargeBinary(32), info={"data": "personal"}),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("next_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime()),
    Column("lease", String(32)),
    Column("settled_at", UTCDateTime()),
    Column("error", String(500), nullable=False),
    Index(None, "state", "next_at"),
    Index(None, "address_digest", "created_at"),
    Index(None, "settled_at"),
    info={
        "data": "internal",
        "subject": "subject",
        "ownerless": "letters are queued in the unit of whoever causes them, and counted over all; only the worker and operators read them",
        "retention": "30 days after the letter is settled",
    },
)
"""Letters. ``head`` (address and title) and ``content`` (text and HTML) are JSON, sealed under the key of ``subject`` where ``is_sealed``;
``content`` is empty once the letter is sent, expired or discarded. ``address_digest`` is the SHA-256 of the address, for the hourly limit, and
empty after that hour. ``next_at`` is when the letter may be taken: while ``lease`` is set, the moment at which whoever holds it counts as dead."""
