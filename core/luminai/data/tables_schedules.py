"""The core's table of schedules."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint, text

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

_WAITS: Final = text("next_fire_at IS NOT NULL")

schedules: Final = Table(
    "core__schedules",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("plugin", String(32), nullable=False),
    Column("action", String(80), nullable=False, info={"data": "internal"}),
    Column("declared", String(80), info={"data": "internal"}),
    Column("name", String(80), nullable=False, info={"data": "personal"}),
    Column("input", LargeBinary, nullable=False, info={"data": "sensitive"}),
    Column("trigger", String(200), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("start", UTCDateTime(), nullable=False),
    Column("misfire", String(4), nullable=False),
    Column("grace", Integer, nullable=False),
    Column("overlap", String(8), nullable=False),
    Column("jitter", Integer, nullable=False),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("organisation", String(40), nullable=False, info={"data": "internal"}),
    Column("origin", String(8), nullable=False),
    Column("edited", Boolean, nullable=False),
    Column("paused_at", UTCDateTime()),
    Column("paused_because", String(200), nullable=False),
    Column("retired_at", UTCDateTime()),
    Column("next_fire_at", UTCDateTime()),
    Column("last_fire_at", UTCDateTime()),
    Column("last_job", String(40)),
    Column("revision", Integer, nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("changed_at", UTCDateTime(), nullable=False),
    UniqueConstraint("plugin", "declared"),
    Index("core__schedules_due_idx", "next_fire_at", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index(None, "subject", "id"),
    info={
        "data": "internal",
        "subject": "subject",
        "ownerless": "the clock looks at all of them; the routes compare the subject with the caller's",
        "retention": "until it is removed, or the person is erased",
    },
)
"""Schedules. ``input`` is JSON, sealed under the key of ``subject``. ``declared`` is the name in the plugin's own declarations, null for those that
people added; ``edited``: an operator changed it, so the plugin's declaration no longer does. ``next_fire_at`` is null while it is paused or retired,
and after its last moment; it only moves in the transaction that puts the job."""
