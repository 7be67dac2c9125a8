"""The core's table of invitations into organisations; organisations and memberships themselves stand with the people."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, LargeBinary, String, Table, UniqueConstraint

from luminai.data.tables import core_metadata
from luminai.data.types import JSONText, UTCDateTime

invitations: Final = Table(
    "core__invitations",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("organisation_id", String(40), nullable=False),
    Column("person_id", String(40), nullable=False, index=True, info={"data": "personal"}),  # whose address it is; "" while it is nobody's
    Column("invited_by", String(40), nullable=False, index=True, info={"data": "personal"}),
    Column("email_digest", LargeBinary(32), nullable=False, index=True, info={"data": "personal", "secret": True}),  # keyed, as that of an account
    Column("email", LargeBinary, nullable=False, info={"data": "personal"}),  # sealed, for the person or else the hub
    Column("token_digest", LargeBinary(32), nullable=False, unique=True, info={"data": "internal", "secret": True}),
    Column("roles", JSONText(), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime(), nullable=False, index=True),
    UniqueConstraint("organisation_id", "email_digest"),
    info={
        "data": "internal",
        "subject": ("person_id", "invited_by"),
        "ownerless": "an invitation names two people, and is found by its link, its address or its organisation",
        "retention": "until accepted, declined, withdrawn or expired, at most 7 days",
    },
)
