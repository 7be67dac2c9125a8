"""The core's tables of the edge: how much of its limits each caller has used, and tickets that open streams."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Double, LargeBinary, String, Table

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

rates: Final = Table(
    "core__rates",
    core_metadata,
    Column("key", String(300), primary_key=True, info={"data": "personal"}),
    Column("free_at", Double, nullable=False, index=True),
    info={
        "data": "internal",
        "unlinked": "a caller's id or network address as part of a key",
        "retention": "minutes, until the whole allowance is there again",
    },
)

stream_tickets: Final = Table(
    "core__stream_tickets",
    core_metadata,
    Column("digest", LargeBinary(32), primary_key=True, info={"data": "internal", "secret": True}),  # keyed
    Column("subject", String(120), nullable=False, index=True, info={"data": "personal"}),
    Column("path", String(512), nullable=False, info={"data": "internal"}),
    Column("origin", String(300), nullable=False, info={"data": "internal"}),  # "" where none was told
    Column("credential", LargeBinary, nullable=False, info={"data": "sensitive", "secret": True}),  # opens only with the ticket itself
    Column("expires_at", UTCDateTime(), nullable=False, index=True),
    info={
        "data": "internal",
        "subject": "subject",
        "ownerless": "a ticket is found by its digest before anybody is known, and opens only with the ticket itself",
        "retention": "until used or expired, minutes",
    },
)
"""Tickets for clients that cannot send headers when they open a socket or an event stream."""
