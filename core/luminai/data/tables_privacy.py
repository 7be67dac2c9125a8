"""The core's tables of privacy."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Index, String, Table

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

consents: Final = Table(
    "core__consents",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("person_id", String(40), nullable=False),
    Column("purpose", String(40), nullable=False),
    Column("version", String(40), nullable=False),  # of the text; "" for do-not-sell
    Column("given", Boolean, nullable=False),
    Column("at", UTCDateTime(), nullable=False),
    Column("how", String(20), nullable=False),  # account, registration
    Index(None, "person_id", "purpose", "id"),
    info={
        "data": "personal",
        "subject": "person_id",
        "owner": "person_id",
        "retention": "as long as the hub",
        "kept": "what somebody agreed to has to stay provable; the id means nobody any more",
    },
)
"""Answers to questions for consent; rows are only added, and the newest of a purpose counts."""
