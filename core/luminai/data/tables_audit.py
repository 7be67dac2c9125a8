"""The core's tables of the audit log. Rows are added and blanked, never deleted."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table, Text

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

audit_entries: Final = Table(
    "core__audit_entries",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("position", BigInteger, unique=True),  # the leaf's index in the tree; none until it is sealed
    Column("at", UTCDateTime(), nullable=False, index=True),
    Column("retention", String(4), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # of salt and content; stays when the content is blanked
    Column("leaf_hash", LargeBinary(32)),
    Column("pruned_at", UTCDateTime()),
    Column("salt", LargeBinary(16)),
    Column("source", String(32)),  # "hub", or the plugin that recorded it
    Column("actor", String(120), index=True, info={"data": "personal"}),
    Column("actor_subject", String(120), info={"data": "personal"}),
    Column("action", String(80), index=True),
    Column("object", String(200), index=True, info={"data": "personal"}),
    Column("outcome", String(8)),
    Column("subject", String(120), index=True, info={"data": "personal"}),
    Column("is_sealed", Boolean),
    Column("detail", LargeBinary, info={"data": "sensitive"}),
    info={
        "data": "internal",
        "subject": ("subject", "actor_subject"),
        "ownerless": "an entry names two people, is written in the unit of whoever acts, and only operators read the log",
        "retention": "90 days or 7 years",
        "kept": "who did what has to stay provable; what it says about the person is sealed and ends with the key",
    },
)

audit_nodes: Final = Table(
    "core__audit_nodes",
    core_metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),  # 1 and up; level 0 are the entries' leaf hashes
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    info={"data": "internal"},
)

audit_checkpoints: Final = Table(
    "core__audit_checkpoints",
    core_metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False, info={"data": "internal"}),
    Column("at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)

audit_holds: Final = Table(
    "core__audit_holds",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("object", String(200), nullable=False, info={"data": "personal"}),  # "" for any
    Column("subject", String(120), nullable=False, info={"data": "personal"}),  # "" for any
    Column("reason", String(300), nullable=False, info={"data": "personal"}),
    Column("placed_by", String(120), nullable=False, info={"data": "personal"}),
    Column("placed_at", UTCDateTime(), nullable=False),
    Column("released_at", UTCDateTime()),
    info={
        "data": "internal",
        "subject": "subject",
        "ownerless": "operators keep it about others, who must not read it",
        "retention": "as long as the hub",
        "kept": "who was kept from being erased, and why, has to stay provable",
    },
)
