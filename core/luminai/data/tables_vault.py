"""The core's tables of vault."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

master_keys: Final = Table(
    "core__master_keys",
    core_metadata,
    Column("id", String(32), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("changed_at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)
"""Master keys that wrapped something once: ``active``, ``retiring``, ``destroyed``. ``id`` is computed from the key and tells nothing about it."""

subject_keys: Final = Table(
    "core__subject_keys",
    core_metadata,
    Column("subject", String(120), primary_key=True, info={"data": "personal"}),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("id", String(40), nullable=False, unique=True),
    Column("state", String(12), nullable=False),
    Column("wrapped", LargeBinary(60), info={"data": "internal", "secret": True}),
    Column("master_key", String(32), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("destroyed_at", UTCDateTime(), index=True),
    Index(None, "state", "master_key"),
    info={
        "data": "internal",
        "subject": "subject",
        "ownerless": "one unit seals for several: whoever acts, whom a letter goes to, the hub itself; what is kept is wrapped by the master key",
        "retention": "as long as the hub",
        "kept": "the key itself is destroyed; its tombstone keeps a restored backup from bringing it back",
    },
)
"""Data keys, ``active`` or ``destroyed``. A destroyed one keeps its row as a tombstone, without ``wrapped``."""
